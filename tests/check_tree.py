#!/usr/bin/python3
"""The folder map is the architecture: a library includes only those below it, from outside it is known by its
public headers alone, and files are formatted. usage: check_tree.py ROOT; exit 1 with a line for each fault."""
import pathlib
import re
import shutil
import subprocess
import sys

FLOORS = ["base", "window", "net", "tcp", "tls", "http", "body", "match", "rules", "vault", "identity", "audit",
          "hold", "call", "control"]  # lowest first
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def check_include(path, library, included):
    floor, _, name = included.partition("/")
    if floor not in FLOORS or not name:
        return None
    if library and FLOORS.index(floor) > FLOORS.index(library):
        return f"{path}: lib/{library} includes {included}, which stands above it"
    private = name != f"{floor}.h" and floor != "base"
    if floor != library and private:
        return f"{path}: {included} is private to lib/{floor}"
    return None


def sources(root):
    """What git tracks or would; all there is where this is no checkout."""
    command = ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "*.c", "*.h"]
    if shutil.which("git"):
        names = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True).stdout.split()
        if names:
            return [root / n for n in names if (root / n).exists()]
    return [p for top in ("app", "lib", "tools", "tests") for p in (root / top).rglob("*.[ch]")]


def main():
    root, faults = pathlib.Path(sys.argv[1]), []
    files = sources(root)
    for path in files:
        parts = path.relative_to(root).parts
        library = parts[1] if parts[0] == "lib" else None
        if parts[0] == "tests":
            continue  # a library's tests look inside it
        for included in INCLUDE.findall(path.read_text()):
            fault = check_include(path.relative_to(root), library, included)
            if fault:
                faults.append(fault)
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, files)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    faults += [line for line in done.stdout.splitlines() if "error:" in line][:20]
    print("\n".join(faults) if faults else f"{len(files)} files stand where they should")
    return 1 if faults else 0


sys.exit(main())
