"""Batch files: what is read, what is refused, and what the committed ones ask for."""

from pathlib import Path

import pytest
import yaml
from stand_in import make_dataset

from ecglib.batch.file import BatchFile
from ecglib.batch.notebooks import check_parameters
from ecglib.errors import BatchError
from ecglib.experiment import Experiment

BATCHES = Path(__file__).parents[2] / "notebooks" / "batches"
FUSION_BATCHES = ["fusion", "fusion_ptbxl", "fusion_cinc2017", "fusion_mitdb"]
N_RUNS = {
    "evidence": 30,
    "fusion": 50,
    "fusion_ptbxl": 50,
    "fusion_cinc2017": 50,
    "fusion_mitdb": 50,
    "representations": 60,
    "branch_training": 40,
    "encoders_ptbxl": 25,
    "aami_mitdb": 25,
    "aami_mitdb_folds": 24,
    "augmentation": 30,
    "pointing": 9,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gird": {}}, r"unknown keys \['gird'\].*Did you mean 'grid'"),
        ({"notebook": "no.ipynb"}, r"names the notebook 'no\.ipynb'"),
        ({"dataset": 3}, "dataset must be text, found 3"),
        ({"parameters": ["epochs"]}, "parameters must map names to values"),
        ({"grid": None}, r"grid"),
        ({"grid": {"seed": 0}}, r"grid must map each axis to a list"),
        ({"ensembles": [1]}, r"ensemble sizes of at least 2.*found \[1\]"),
        ({"same_size_branch": 2}, "must be true or false, found 2"),
        ({"use": "aami_beats"}, "use must list names of groups"),
        ({"include": {"seed": [1]}}, "include must list grids"),
        ({"include": [{"seed": 1}]}, r"include must map each axis to a list.*found \{'seed': 1\}"),
        ({"exclude": [{}]}, "exclude must list mappings of parameters"),
        ({"exclude": [{1: 2}]}, "1 is no name of a parameter"),
    ],
)
def test_a_wrong_batch_file_is_refused(write_batch_file, tmp_path, changes, message):
    with pytest.raises(BatchError, match=message):
        BatchFile.read(write_batch_file(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "holds list, expected a YAML mapping"),
        ("grid: [", "cannot be read"),
        ("grid: {seed: [0]}", r"lacks the keys \['notebook', 'dataset'\]"),
    ],
)
def test_a_file_that_is_no_batch_file_is_refused(tmp_path, text, message):
    path = tmp_path / "small.yaml"
    path.write_text(text)
    with pytest.raises(BatchError, match=message):
        BatchFile.read(path)


def test_the_grid_is_every_combination(write_batch_file, tmp_path):
    models = [{"branches": {"time": "cnn"}}, {"branches": {"frequency": "cnn"}}]
    grid = {"model": models, "seed": [0, 1], "width": [8]}
    file = BatchFile.read(write_batch_file(tmp_path, grid=grid), epochs=7)
    combinations = file.list_parameters()
    assert len(combinations) == 4
    assert {(tuple(parameters["branches"]), parameters["seed"]) for parameters in combinations} == {
        (("time",), 0),
        (("time",), 1),
        (("frequency",), 0),
        (("frequency",), 1),
    }
    assert all(
        parameters["epochs"] == 7 and parameters["width"] == 8 for parameters in combinations
    )


def test_with_folds_each_combination_is_run_once_for_each_fold(
    write_batch_file, small_batch, tmp_path
):
    file = BatchFile.read(write_batch_file(tmp_path), n_folds=3)
    combinations = file.list_parameters()
    assert [parameters["fold"] for parameters in combinations] == [1, 2, 3] * 3
    branches = [parameters["branches"] for parameters in combinations[2:4]]
    assert branches == [{"time": "cnn"}, {"frequency": "cnn"}]


def test_a_batch_file_may_name_the_fold(write_batch_file, small_batch, tmp_path):
    grid = small_batch["grid"] | {"fold": [2]}
    file = BatchFile.read(write_batch_file(tmp_path, grid=grid), n_folds=3)
    assert [parameters["fold"] for parameters in file.list_parameters()] == [2, 2, 2]


def read_experiments(name: str) -> list[Experiment]:
    file = BatchFile.read(BATCHES / f"{name}.yaml")
    values = [check_parameters(file.notebook, parameters) for parameters in file.list_parameters()]
    dataset = make_dataset("d")
    return [Experiment.from_namespace(parameters, dataset) for parameters in values]


def test_every_committed_batch_file_is_tested_here():
    assert set(N_RUNS) == {path.stem for path in BATCHES.glob("*.yaml")} - {"groups"}


@pytest.mark.parametrize(("name", "n_runs"), N_RUNS.items())
def test_a_committed_batch_file_asks_for_known_and_different_experiments(name, n_runs):
    assert len({experiment.hash for experiment in read_experiments(name)}) == n_runs


@pytest.mark.parametrize("name", [*FUSION_BATCHES, "representations", "aami_mitdb"])
def test_the_baseline_has_the_same_seeds_as_the_networks(name):
    experiments = read_experiments(name)
    seeds_of_trees = [one.training.seed for one in experiments if one.role == "baseline"]
    seeds_of_networks = {one.training.seed for one in experiments if one.role != "baseline"}
    assert seeds_of_trees == sorted(seeds_of_networks)


@pytest.mark.parametrize("name", FUSION_BATCHES)
def test_the_fusion_batch_has_the_same_models_and_controls_for_every_dataset(name):
    models = [(one.model, one.training.seed) for one in read_experiments(name)]
    expected = [(one.model, one.training.seed) for one in read_experiments("fusion")]
    assert [(model.branches, model.fusion, seed) for model, seed in models] == [
        (model.branches, model.fusion, seed) for model, seed in expected
    ]
    file = BatchFile.read(BATCHES / f"{name}.yaml")
    assert (file.ensemble_sizes, file.widened_branch) == ([3], True)


def list_seeds(path, **override):
    return [one["seed"] for one in BatchFile.read(path, **override).list_parameters()]


def test_a_given_option_replaces_the_axis_of_its_name(write_batch_file, small_batch, tmp_path):
    grid = {"model": small_batch["grid"]["model"][:2], "seed": [0, 1, 2]}
    path = write_batch_file(tmp_path, grid=grid)
    assert list_seeds(path) == [0, 1, 2] * 2
    assert list_seeds(path, seed=3) == [3, 3]
    assert list_seeds(path, seed=[1, 4]) == [1, 4] * 2


def test_a_given_option_replaces_what_entries_of_an_axis_set(write_batch_file, tmp_path):
    """Entries that differ in nothing else are one run; the others remain."""
    models = [
        {"branches": {"time": "cnn"}, "width": 8},
        {"branches": {"time": "cnn"}, "width": 16},
        {"branches": {"frequency": "cnn"}, "width": 8},
    ]
    path = write_batch_file(tmp_path, grid={"model": models})
    file = BatchFile.read(path, width=32)
    found = [(tuple(one["branches"]), one["width"]) for one in file.list_parameters()]
    assert found == [(("time",), 32), (("frequency",), 32)]


def test_an_option_may_have_any_name(write_batch_file, tmp_path):
    file = BatchFile.read(write_batch_file(tmp_path), **{"path": 1, "cls": 2})
    assert file.parameters["path"] == 1


def test_a_grid_that_could_not_be_listed_is_refused(write_batch_file, tmp_path):
    grid = {f"axis{k}": list(range(100)) for k in range(5)}
    with pytest.raises(BatchError, match=r"10,000,000,000 runs, at most 100,000"):
        BatchFile.read(write_batch_file(tmp_path, grid=grid)).list_parameters()


def test_aliases_that_expand_endlessly_are_refused(tmp_path):
    lines = ["grid:", "  a0: &a0 [1, 2]"]
    for k in range(1, 40):
        lines.append(f"  a{k}: &a{k} [*a{k - 1}, *a{k - 1}]")
    path = tmp_path / "small.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(BatchError, match="once its aliases are expanded"):
        BatchFile.read(path)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("width: 4", "width: [4"),
        ("seed:", "1:"),
        ("task: letters", "2: letters"),
        ("03_train.ipynb", "03_train.ipynb" * 500),
        ("03_train.ipynb", "null\\0.ipynb"),
        ("same_size_branch: true", "margin: .nan"),
        ("same_size_branch: true", "margin: true"),
        ("same_size_branch: true", "metric: [auroc]"),
        ("same_size_branch: true", "time_limit_s: -1"),
        ("same_size_branch: true", "time_limit_s: .inf"),
        ("same_size_branch: true", "? [a, b]\n: 1"),
        ("same_size_branch: true", "ensembles: [true]"),
    ],
)
def test_a_malformed_batch_file_is_refused_by_name(write_batch_file, tmp_path, text, change):
    path = write_batch_file(tmp_path)
    content = path.read_text()
    assert text in content
    path.write_text(content.replace(text, change))
    with pytest.raises(BatchError, match=r"small\.yaml"):
        BatchFile.read(path)


def list_widths_and_seeds(path, **override):
    runs = BatchFile.read(path, **override).list_parameters()
    return [(one["width"], one["seed"]) for one in runs]


GRID = {"width": [8, 16], "seed": [0, 1]}


def test_excluded_runs_are_left_out_and_included_grids_are_added(write_batch_file, tmp_path):
    path = write_batch_file(
        tmp_path,
        grid=GRID,
        exclude=[{"width": 16, "seed": 1}],
        include=[{"width": [32], "seed": [0, 5]}, {"model": [{"width": 16, "seed": 1}]}],
    )
    expected = [(8, 0), (8, 1), (16, 0), (32, 0), (32, 5), (16, 1)]
    assert sorted(list_widths_and_seeds(path)) == sorted(expected)


def test_what_is_excluded_does_not_depend_on_options(write_batch_file, tmp_path):
    """The axis `seed` becomes one seed, after seed 1 of width 16 was excluded."""
    path = write_batch_file(
        tmp_path, grid=GRID, exclude=[{"width": 16, "seed": 1}], include=[{"model": [{"width": 9}]}]
    )
    file = BatchFile.read(path, seed=7)
    found = [(one["width"], one["seed"]) for one in file.list_parameters()]
    assert found == [(8, 7), (16, 7), (9, 7)]
    assert list_widths_and_seeds(path, width=4, seed=1) == [(4, 1)]


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([{"widht": 16}], "exclude names 'widht', which the grid does not set.*'width'"),
        ([{"width": 15}], r"exclude has \{'width': 15\}, but no run of the grid has these values"),
        ([{"width": 8}, {"width": 16}], "exclude leaves no run"),
    ],
)
def test_an_exclusion_that_excludes_nothing_is_refused(
    write_batch_file, tmp_path, exclude, message
):
    path = write_batch_file(tmp_path, grid=GRID, exclude=exclude)
    with pytest.raises(BatchError, match=rf"small\.yaml: {message}"):
        BatchFile.read(path).list_parameters()


def test_parameters_of_groups_are_shared_and_replaced_by_those_of_the_file(
    write_batch_file, tmp_path
):
    groups = {"short": {"epochs": 2, "patience": 1}, "small": {"width": 4}, "other": {"epochs": 9}}
    (tmp_path / "groups.yaml").write_text(yaml.safe_dump(groups))
    path = write_batch_file(tmp_path, use=["short", "small"], parameters={"patience": 3})
    assert BatchFile.read(path).parameters == {"epochs": 2, "patience": 3, "width": 4}
    assert BatchFile.read(path, epochs=7).parameters["epochs"] == 7


@pytest.mark.parametrize(
    ("use", "text", "message"),
    [
        (["shrot"], "short: {epochs: 2}", r"no group 'shrot'; it has \['short'\]. Did you mean"),
        (["short"], "short: [epochs]", "the group 'short' must map names of parameters"),
        (["a", "b"], "a: {epochs: 2}\nb: {epochs: 3}", "groups 'a' and 'b' both set 'epochs'"),
        (["a"], "[a]", "file of groups .* holds list"),
        (["a"], None, "file of groups .* cannot be read"),
    ],
)
def test_a_group_that_cannot_be_used_is_refused(write_batch_file, tmp_path, use, text, message):
    if text is not None:
        (tmp_path / "groups.yaml").write_text(text)
    with pytest.raises(BatchError, match=message):
        BatchFile.read(write_batch_file(tmp_path, use=use))


def test_the_committed_groups_are_used_by_several_files():
    groups = yaml.safe_load((BATCHES / "groups.yaml").read_text())
    files = [yaml.safe_load(path.read_text()) for path in BATCHES.glob("*.yaml")]
    for group in groups:
        assert sum(group in file.get("use", []) for file in files) >= 2
