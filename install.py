"""Install requirements.lock into the Python that runs this; on a machine without a GPU, torch's CPU build.

uv does it, in a tenth of pip's time. pip then brings what uv could not, since it may be configured for an index that
uv does not know, and checks the rest.

Linux wheels of torch on the Python package index bring gigabytes of CUDA libraries. Where there is no
NVIDIA driver, and pip is not configured to find a CPU build by itself, uv is asked for one: it knows where
torch keeps them. If that fails, the default build is installed, which works everywhere.
Needs nothing beyond the standard library.
"""

import compileall
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
UV = "uv==0.13.9"
# torch pins these itself when a CUDA build is installed; a CPU build needs none of them.
CUDA_ONLY = re.compile(r"^(nvidia|cuda)[a-z0-9-]*|^triton")
# Two fifths of all Python that is installed, of which a process imports a few files at most.
SELDOM_IMPORTED = r".*[/\\](tests|pip|transformers[/\\]models|torch[/\\]_inductor|torch[/\\]testing)[/\\]"


def main() -> int:
    """Command line: no argument installs, --lock renews the lock file; returns the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 (an older one may well run this file)
        print(f"Python 3.11 or newer is needed, not {sys.version.split()[0]}: make PYTHON3=python3.12", file=sys.stderr)
        return 1
    if sys.argv[1:] == ["--lock"]:
        return lock()
    print(f"installing {LOCK.name} into {sys.prefix} (once; a minute or a few)", flush=True)
    pins = LOCK.read_text()
    torch = re.search(r"^torch==\S+", pins, re.MULTILINE)[0]
    pip("install", UV)
    if uv_install("--no-deps", "-r", "-", input=pins.replace(torch, ""), text=True).returncode:
        print("uv cannot install it all: pip does the rest, which takes longer", flush=True)
    if needs_cpu_build(torch):
        print("no NVIDIA driver found: looking for torch's CPU build", flush=True)
        if uv_install(torch, "--torch-backend", "cpu").returncode:
            print("the CPU build cannot be reached: installing the default one, which is larger", flush=True)
    status = pip("install", "-r", str(LOCK)).returncode or this_package()
    if status:
        print("installation failed; the same command tries again. Nothing else was changed.", file=sys.stderr)
    else:
        compile_bytecode()
    return status


def this_package() -> int:
    """Install the package itself, built by the setuptools of the lock file rather than by one fetched for it alone."""
    return pip("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)).returncode


def compile_bytecode() -> None:
    """Compile what is installed, on all cores; else processes that start together would each compile the same."""
    packages = sysconfig.get_path("purelib")
    compileall.compile_dir(packages, rx=re.compile(re.escape(packages) + SELDOM_IMPORTED), quiet=2, workers=0)


def needs_cpu_build(pin: str) -> bool:
    """Whether pip would fetch a CUDA build of torch on a Linux machine that has no NVIDIA driver."""
    driver = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()
    if not sys.platform.startswith("linux") or driver:
        return False
    report = pip("install", "--dry-run", "--no-deps", "--report", "-", pin, capture_output=True, text=True)
    try:
        plan = json.loads(report.stdout)["install"]
    except (ValueError, KeyError):
        return True
    needed = [r for package in plan for r in package["metadata"].get("requires_dist", [])]
    return any(CUDA_ONLY.match(r) for r in needed)


def lock() -> int:
    """Resolve pyproject.toml for every platform and Python from 3.11 on, and write the exact pins."""
    pip("install", UV)
    options = ["--universal", "--python-version", "3.11", "--extra", "test", "--no-header", "--no-annotate"]
    found = uv("pip", "compile", *options, "pyproject.toml", cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        print(found.stderr, file=sys.stderr)
        return found.returncode
    head = "# Exact pins for pip and conda, written by `make lock` from pyproject.toml.\n"
    LOCK.write_text(head + "".join(f"{p}\n" for p in found.stdout.splitlines() if not CUDA_ONLY.match(p)))
    return 0


def pip(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run pip in this Python, with errors as its only messages; `compile_bytecode` compiles on more than one core."""
    always = ["-qq", "--disable-pip-version-check", "--no-compile"]
    return subprocess.run([sys.executable, "-m", "pip", *arguments, *always], **options)


def uv_install(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Have uv install into this Python."""
    return uv("pip", "install", "-q", "--python", sys.executable, *arguments, **options)


def uv(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run uv, which pip has put beside this Python."""
    return subprocess.run([sys.executable, "-m", "uv", *arguments], **options)


if __name__ == "__main__":
    sys.exit(main())
