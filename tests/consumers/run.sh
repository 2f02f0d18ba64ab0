#!/usr/bin/env bash
# Each library in a throw-away environment of its own, with this checkout installed unpatched: what docs/how-to/other-libraries.md claims.
# Usage: tests/consumers/run.sh [torchrl] [sb3] [rllib]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export OMP_NUM_THREADS=1
declare -A wants=(
  [torchrl]="torchrl==0.14.1 tensordict==0.14.3"
  [sb3]="stable-baselines3==2.9.2"
  [rllib]="ray[rllib]==2.60.0"
)
for name in "${@:-torchrl sb3 rllib}"; do
  for library in $name; do
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    python3 -m venv "$place/venv"
    "$place/venv/bin/pip" install -q --disable-pip-version-check -c "$root/constraints.txt" torch
    # shellcheck disable=SC2086
    "$place/venv/bin/pip" install -q --disable-pip-version-check -c "$root/constraints.txt" ${wants[$library]} "$root"
    "$place/venv/bin/pip" list --disable-pip-version-check 2>/dev/null | grep -iE '^(torch|tensordict|stable|ray|pettingzoo|gymnasium|numpy)'
    (cd "$place" && venv/bin/python "$root/tests/consumers/${library}_check.py")
    rm -rf "$place"
  done
done
