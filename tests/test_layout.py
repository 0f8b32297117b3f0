"""What a reader of the tests would lose: the test of each module, and the helpers, in one guess."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent

TESTED_BY = {
    "evaluation.likelihood_record": "tests/evaluation/log_likelihood/test_annealed_importance.py",
    "__main__": "tests/conftest.py",
    "cli.commands.compare": "tests/cli/commands/test_evaluate.py",
    "cli.compared_models": "tests/cli/commands/test_sweep.py",
    "cli.commands.datasets": "tests/cli/test_commands.py",
    "cli.commands.info": "tests/cli/test_commands.py",
    "cli.commands.models": "tests/cli/test_commands.py",
    "cli.commands.score": "tests/cli/commands/test_evaluate.py",
    "cli.evaluation_options": "tests/cli/commands/test_evaluate.py",
    "cli.latent_paths": "tests/cli/commands/test_interpolate.py",
    "cli.metric_rows": "tests/cli/commands/test_evaluate.py",
    "cli.model_commands": "tests/cli/commands/test_reconstruct.py",
    "cli.options": "tests/cli/commands/test_embed.py",
    "cli.terminal.plan_view": "tests/cli/commands/test_train.py",
    "cli.projected_latents": "tests/cli/commands/test_embed.py",
    "cli.reported_model": "tests/cli/commands/test_report.py",
    "cli.run_options": "tests/cli/commands/test_train.py",
    "cli.commands.manifold": "tests/cli/commands/test_edit.py",
    "cli.searched_images": "tests/cli/commands/test_nearest.py",
    "chunks": "tests/cli/commands/test_decode.py",
    "cli.terminal.tables": "tests/cli/test_commands.py",
    "data.datasets.factor_grid": "tests/data/datasets/test_shapes.py",
    "data.datasets.glyph_outlines": "tests/data/datasets/test_glyphs.py",
    "data.datasets.shape_outlines": "tests/data/datasets/test_shapes.py",
    "data.remembered_folders": "tests/data/datasets/test_mnist.py",
    "data.decoding.conversions": "tests/data/test_load.py",
    "data.decoding.decode_all": "tests/data/test_load.py",
    "data.decoding.deep_grey": "tests/data/decoding/test_tiff_guards.py",
    "data.decoding.strips": "tests/data/decoding/test_decode_image.py",
    "data.decoding.skipped": "tests/data/test_load.py",
    "data.decoding.worker": "tests/data/decoding/test_process_pool.py",
    "data.random_access": "tests/data/decoding/test_process_pool.py",
    "data.selection": "tests/data/test_load.py",
    "data.sources.detect": "tests/data/sources/test_archives.py",
    "data.sources.first_bytes": "tests/data/sources/test_archives.py",
    "data.sources.listed_files": "tests/data/sources/test_several_files.py",
    "data.sources.npy_format": "tests/data/sources/test_array_files.py",
    "data.sources.tar_files": "tests/data/sources/test_archives.py",
    "data.sources.tar_stream": "tests/data/sources/test_tar_bombs.py",
    "data.streams.image_stream": "tests/data/streams/test_mixed_inputs.py",
    "machine.devices": "tests/cli/commands/test_train.py",
    "evaluation.encode_pass": "tests/evaluation/test_evaluation_record.py",
    "evaluation.factor_scores": "tests/evaluation/test_evaluation_record.py",
    "evaluation.shared_passes": "tests/training/test_ranks.py",
    "evaluation.preconditions": "tests/cli/commands/test_evaluate.py",
    "latents.binary": "tests/latents/test_latents.py",
    "latents.reading": "tests/latents/test_latents.py",
    "latents.text": "tests/latents/test_latents.py",
    "likelihoods.bernoulli": "tests/likelihoods/test_likelihoods.py",
    "likelihoods.likelihood": "tests/likelihoods/test_likelihoods.py",
    "likelihoods.normal": "tests/likelihoods/test_likelihoods.py",
    "models.conv": "tests/models/test_contract.py",
    "models.ladder_grids": "tests/models/test_ladder.py",
    "models.ladder_networks": "tests/models/test_ladder.py",
    "output.record_lines": "tests/cli/commands/test_evaluate.py",
    "output.parquet": "tests/output/test_latent_records.py",
    "page.outlying_images": "tests/cli/commands/test_report.py",
    "page.report_contents": "tests/cli/commands/test_report.py",
    "peekable": "tests/data/streams/test_pipe_input.py",
    "training.run_files.checkpoint_checks": "tests/training/run_files/test_resume_rules.py",
    "python.run_result": "tests/test_api.py",
    "training.epoch_table": "tests/cli/terminal/test_training_view.py",
    "training.follower": "tests/training/test_ranks.py",
    "training.step.gradients": "tests/training/test_loop.py",
    "training.planning.like_runs": "tests/training/planning/test_plan.py",
    "training.model_description": "tests/training/test_run.py",
    "training.new_trainer": "tests/training/test_ranks.py",
    "training.run_files.run_pictures": "tests/training/test_run.py",
    "training.session": "tests/training/test_run.py",
    "training.stop_signals": "tests/training/run_files/test_resume_rules.py",
    "training.run_files.tensorboard": "tests/training/test_run.py",
    "wording": "tests/cli/test_faults_using.py",
}
"""The test of a module that has none of its name and that no test imports."""

ONLY_TYPES = {"array_types"}
"""Modules without behaviour: the type checker is their test."""


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {path: imports(path) for path in TESTS.rglob("*.py")}


@pytest.mark.parametrize("path", IMPORTS, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_imports_from_another_test_module(path: Path) -> None:
    assert [name for name in IMPORTS[path] if re.search(r"^tests\..*\btest_", name)] == []


def modules_without_a_test() -> set[str]:
    """Modules of the package that have no test of their name and that no test imports."""
    named = {path.stem.removeprefix("test_") for path in IMPORTS if path.stem.startswith("test_")}
    used = set[str]().union(*IMPORTS.values())
    found = set()
    for path in (ROOT / "vaekit").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "vaekit").with_suffix("").parts)
        if path.stem not in {*named, "__init__"} and f"vaekit.{module}" not in used:
            found.add(module)
    return found


def test_every_module_has_a_test_by_name_by_import_or_in_the_list() -> None:
    assert modules_without_a_test() - {*TESTED_BY, *ONLY_TYPES} == set()


@pytest.mark.parametrize("module", TESTED_BY)
def test_the_list_names_modules_and_tests_that_exist(module: str) -> None:
    assert (ROOT / "vaekit" / module.replace(".", "/")).with_suffix(".py").is_file()
    assert (ROOT / TESTED_BY[module]).is_file()
