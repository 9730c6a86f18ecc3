import pytest

from napari_noise2atom.cli.overrides import UsageError, assigned, merge, override, read_settings, setting_rows
from napari_noise2atom.settings import PRESETS, MovieSettings, Settings


def test_assignments_are_json_or_text():
    words = ["training.epochs=3", "training.joint=false", "run.device=cuda:1", 'network.architecture="paper"', "a=b=c"]
    assert assigned(words) == {
        "training": {"epochs": 3, "joint": False},
        "run": {"device": "cuda:1"},
        "network": {"architecture": "paper"},
        "a": "b=c",
    }


@pytest.mark.parametrize("word", ["epochs", "=3", ""])
def test_assignment_without_name_or_value_is_refused(word):
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        assigned([word])


def test_the_last_layer_wins_and_groups_are_joined():
    below = {"a": {"x": 1, "y": 2}, "b": 3}
    assert merge(below, {"a": {"y": 4}}, {"b": {"z": 5}}) == {"a": {"x": 1, "y": 4}, "b": {"z": 5}}
    assert below == {"a": {"x": 1, "y": 2}, "b": 3}


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("training.batchsize=4", "got the setting training.batchsize; expected training.batch_size, or one that"),
        ("batch_size=4", "expected warm_start.batch_size, or training.batch_size, or one that"),
        ("trainning.epochs=4", "got the setting trainning; expected training, or one that"),
        ("zzz=4", "got the setting zzz; expected one that 'noise2atom settings' lists"),
        ("training.batch_size=0", "training.batch_size: got 0; expected greater than or equal to 1"),
        ("training.batch_size=many", "training.batch_size: got 'many'; expected a valid integer"),
        ("training.learning_rate=NaN", "training.learning_rate: got nan; expected a finite number"),
        ("run.device=gpu", "run.device: got 'gpu'; expected auto, cpu, cuda, cuda:N or mps"),
        ("network.architecture=big", "network.architecture: got 'big'; expected 'paper' or 'compact'"),
        ("training=3", "training: got 3; expected settings of this group, such as training.epochs=…"),
        ("network.frames_in=4", "network: frames_in 4 is even; expected an odd number of frames"),
    ],
)
def test_what_is_wrong_is_one_sentence(word, sentence):
    with pytest.raises(UsageError) as caught:
        override(Settings(), assigned([word]))
    assert str(caught.value).startswith(sentence) or sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_that_depend_on_others_are_judged_at_the_end():
    """The preset's largest variance is 10, but the movie may raise it."""
    changes = {"simulation": {"variance_min_px2": 12}}
    assert override(Settings(), changes, alone=True) == Settings()
    with pytest.raises(UsageError, match="variance_min_px2 12"):
        override(Settings(), changes)
    with pytest.raises(UsageError, match="greater than 0"):
        override(Settings(), {"simulation": {"variance_min_px2": -1}}, alone=True)


def test_changes_keep_the_rest():
    changed = override(PRESETS["paper"], {"training": {"epochs": 7}})
    assert changed.training.epochs == 7
    assert changed.network == PRESETS["paper"].network


@pytest.mark.parametrize("model", [Settings(), MovieSettings()])
def test_every_setting_has_a_text(model):
    for row in setting_rows(model):
        assert row.text, row.name
        assert row.default, row.name


@pytest.mark.parametrize(
    ("content", "sentence"), [("{", "is not JSON"), ("[1]", "got a list"), (None, "cannot be read")]
)
def test_settings_file_that_is_none(tmp_path, content, sentence):
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=sentence):
        read_settings(path)
