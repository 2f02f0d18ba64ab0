from dataclasses import dataclass
@dataclass(frozen=True)
class Layout:
    map: tuple
    cells: tuple
