"""`vaekit doctor` finds what is broken and says it in a line; what is sound it calls sound."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vaekit import installation
from vaekit.installation import EXTRAS, PACKAGES


def checks_of(stdout: str) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(stdout)["checks"]}


def broken(module: str, code: str) -> dict[str, str]:
    """An environment in which importing a module goes wrong."""
    place = Path("broken") / module
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(code)
    paths = [str(Path("broken").resolve()), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def test_everything_is_looked_at_and_said_in_json(vaekit: Any) -> None:
    done = vaekit("doctor", "--json")
    checks = checks_of(done.stdout)
    assert json.loads(done.stdout)["ok"] is (done.code == 0)
    assert done.code == any(check["ok"] is False for check in checks.values())
    wanted = ["vaekit", "python", *PACKAGES, "torchvision match", "cpu", "step on cpu", "threads",
              "cache", "current folder", *EXTRAS]  # fmt: skip
    assert [name for name in checks if "cuda" not in name and "mps" not in name] == wanted
    for name in PACKAGES:
        assert checks[name] == {
            "name": name,
            "ok": True,
            "detail": importlib.metadata.version(name),
        }
    for name in ("torchvision match", "cpu", "step on cpu", "threads", "cache", "current folder"):
        assert checks[name]["ok"] is True, checks[name]


def test_where_runs_and_the_cache_go_is_named_with_its_room(vaekit: Any) -> None:
    checks = checks_of(vaekit("doctor", "--json").stdout)
    for name, place in (("cache", Path(".cache/vaekit")), ("current folder", Path())):
        assert checks[name]["detail"].startswith(f"{place.resolve()} can be written, ")
        assert checks[name]["detail"].endswith(" GB free")


def test_a_torchvision_of_another_torch_is_named_with_the_remedy(vaekit: Any) -> None:
    """The commonest of broken installations; its own message tells nobody what to do."""
    environ = broken(
        "torchvision", "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    done = vaekit("doctor", environ=environ)
    assert done.code == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("torchvision match")]
    assert " FAILED " in line
    versions = [importlib.metadata.version(name) for name in ("torchvision", "torch")]
    assert "torchvision {} does not work with torch {}".format(*versions) in line
    assert "operator torchvision::nms does not exist" in line
    assert "pip install --upgrade torch torchvision" in line
    assert done.stdout.splitlines()[-1] == "failed: torchvision match"
    assert done.stderr == ""


def test_operators_that_do_not_load_are_found_where_the_import_went_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torchvision

    def nms(*_: object) -> None:
        raise NotImplementedError("Could not run 'torchvision::nms'\nwith arguments ...")

    monkeypatch.setattr(torchvision.ops, "nms", nms)
    checks = {check.name: check for check in installation.check_all()}
    assert checks["torchvision match"].ok is False
    assert "Could not run 'torchvision::nms')" in checks["torchvision match"].detail
    assert checks["step on cpu"].ok is True


def test_a_torch_that_does_not_load_is_one_line_and_the_rest_goes_on(vaekit: Any) -> None:
    environ = broken("torch", "raise ImportError('libtorch.so: cannot open shared object file')")
    done = vaekit("doctor", "--json", environ=environ)
    checks = checks_of(done.stdout)
    assert (done.code, done.stderr) == (1, "")
    said = "ImportError: libtorch.so: cannot open shared object file"
    assert checks["devices"] == {"name": "devices", "ok": False, "detail": said}
    assert checks["torchvision match"]["ok"] is False
    assert checks["cache"]["ok"] is True


def test_a_cache_that_cannot_be_written_is_named(vaekit: Any) -> None:
    Path("file").touch()
    done = vaekit("doctor", "--json", environ={"XDG_CACHE_HOME": str(Path("file").resolve())})
    cache = checks_of(done.stdout)["cache"]
    assert (done.code, cache["ok"]) == (1, False)
    assert cache["detail"] == f"{Path('file/vaekit').resolve()}: Not a directory"


def looked(monkeypatch: pytest.MonkeyPatch, **changes: object) -> Callable[..., Any]:
    """Only the part that matters: nothing of the machine's own has a say."""
    monkeypatch.setattr(installation, "_device_checks", list)
    monkeypatch.setattr(installation, "_torchvision_match", lambda: "works")
    monkeypatch.setattr(installation, "LITTLE_DISK", changes.pop("little", 0))
    for name, value in changes.items():
        monkeypatch.setattr(installation, name, value)
    return lambda: {check.name: check for check in installation.check_all()}


def test_a_disk_with_little_room_fails(monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    checks = looked(monkeypatch, little=1e18)()
    assert checks["cache"].ok is checks["current folder"].ok is False
    assert "GB are free" in checks["cache"].detail
    done = cli("doctor")
    assert done.code == 1
    assert done.stdout.splitlines()[-1] == "failed: cache, current folder"


def test_what_is_optional_may_be_absent_and_what_is_not_may_not(
    monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    changes = {"PACKAGES": ("numpy",), "EXTRAS": {"no-such-extra": ("fid", "something")}}
    look = looked(monkeypatch, **changes)
    extra = look()["no-such-extra"]
    assert extra.ok is None
    assert extra.detail == "not installed; for something: pip install 'vaekit[fid]'"
    done = cli("doctor")
    assert done.code == 0
    assert done.stdout.splitlines()[-1] == "vaekit works here"
    monkeypatch.setattr(installation, "PACKAGES", ("no-such-package",))
    package = look()["no-such-package"]
    assert (package.ok, package.detail) == (False, "is not installed: pip install no-such-package")
    assert cli("doctor").code == 1


def test_each_device_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    facts = SimpleNamespace(name="Some GPU", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
    monkeypatch.setattr(installation, "_devices", lambda: ["cuda:0", "cpu"])
    monkeypatch.setattr(installation, "_training_step", lambda device: 1.5)
    checks = {check.name: check for check in installation._device_checks()}
    assert list(checks) == ["cuda:0", "step on cuda:0", "cpu", "step on cpu"]
    assert checks["cuda:0"].detail == "Some GPU, 80 GiB"
    assert checks["step on cuda:0"].detail.startswith("one training step, loss 1.5, ")
    assert "thread" in checks["cpu"].detail


def test_a_device_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(device: str) -> float:
        if device != "cpu":
            raise RuntimeError("CUDA error: no kernel image is available\nfor execution")
        return 1.0

    monkeypatch.setattr(installation, "_devices", lambda: ["cuda:7", "cpu"])
    monkeypatch.setattr(installation, "_training_step", step)
    checks = {check.name: check for check in installation._device_checks()}
    assert checks["step on cuda:7"].ok is False
    assert checks["step on cuda:7"].detail == (
        "RuntimeError: CUDA error: no kernel image is available"
    )
    assert checks["step on cpu"].ok is True


def test_weights_that_give_no_numbers_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit.objectives.elbo.elbo", lambda *_, **__: nowhere())
    with pytest.raises(ArithmeticError, match="not a number"):
        installation._training_step("cpu")


def nowhere() -> dict[str, Any]:
    import torch

    return {"loss": torch.full((8,), float("nan"), requires_grad=True)}
