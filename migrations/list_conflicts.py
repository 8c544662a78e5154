"""Says which files an update could not merge; runs in the project after each update."""

import subprocess


def git_files(*arguments: str) -> list[str]:
    """Return the files that a git command lists."""
    output = subprocess.run(["git", *arguments, "-z"], capture_output=True, check=True).stdout
    return output.decode(errors="replace").split("\0")[:-1]


def main() -> None:
    conflicts = git_files("diff", "--name-only", "--diff-filter=U", "--relative")
    if conflicts:
        print("You and the template changed the same lines; look for <<<<<<< in:")
        print(*conflicts, sep="\n")
    rejects = git_files("ls-files", "--others", "--exclude-standard", "*.rej")
    if rejects:
        print("These changes of yours did not fit; put them in by hand, then delete:")
        print(*rejects, sep="\n")


if __name__ == "__main__":
    main()
