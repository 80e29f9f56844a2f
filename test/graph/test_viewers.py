"""The viewers' configuration: it names only topics, fields, frames and parts that there are."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rosidl_parser.definition import AbstractNestedType, Array, BasicType, NamespacedType
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_msgs.msg import String
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings
from visualization_msgs.msg import MarkerArray

from tristage_ros import nodes
from tristage_ros.devices.arm.urdf import urdf
from tristage_ros.graph import graph, viewers
from tristage_ros.nodes.arm import messages
from tristage_ros.nodes.viewers.rqt import __main__ as rqt
from tristage_ros.resources import resource

TOPICS = {
    "/tristage/pruning": PruningStats,
    "/tristage/timings": StageTimings,
    "/tristage/action": ActionChunk,
    "/tristage/overlay": Image,
    "/tristage/cloud": PointCloud2,
    "/tristage/kept_cloud": PointCloud2,
    "/joint_states": JointState,
    "/arm/status": ArmStatus,
    "/arm/end_pose": PoseStamped,
    "/arm/site": MarkerArray,
    "/diagnostics": DiagnosticArray,
    "/robot_description": String,  # by robot_state_publisher
}
OURS = [topic for topic in TOPICS if topic != "/robot_description"]

NODES = Path(nodes.__file__).parent


def code_of(node):
    """Return the code of a node, which is a file or a folder."""
    return "".join(path.read_text() for path in (NODES / f"{node}.py", *(NODES / node).glob("*.py")) if path.exists())


def type_of(kind, path):
    """Return the type at a path of fields, "a", "b[2]" ...; fail for what no plot can follow."""
    for part in path:
        name, _, index = part.rstrip("]").partition("[")
        fields = dict(zip(kind.get_fields_and_field_types(), kind.SLOT_TYPES, strict=True))
        assert name in fields, f"{kind.__name__} has no field {name}"
        found = fields[name]
        if index:
            assert isinstance(found, Array) and int(index) < found.size, f"{name}[{index}]: no such element"
            found = found.value_type
        else:
            assert not isinstance(found, AbstractNestedType), f"{name} is an array: name an element"
        if isinstance(found, NamespacedType):
            found = getattr(importlib.import_module(".".join(found.namespaces)), found.name)
        kind = found
    return kind


def is_plottable(kind):
    return isinstance(kind, BasicType)


@pytest.fixture(scope="module")
def perspective():
    return json.loads(resource("config", "tristage.perspective").read_text())


@pytest.fixture(scope="module")
def foxglove():
    return json.loads(resource("config", "tristage.foxglove.json").read_text())


@pytest.fixture(scope="module")
def rviz():
    return yaml.safe_load(resource("config", "tristage.rviz").read_text())["Visualization Manager"]


def value(setting):
    assert setting["type"] == "repr"
    return ast.literal_eval(setting["repr"])


def plugins(perspective):
    return perspective["groups"]["pluginmanager"]["groups"]


def test_the_topics_here_are_those_of_the_nodes():
    code = "\n".join(path.read_text() for path in (*NODES.rglob("*.py"), *NODES.with_name("ros").glob("*.py")))
    for topic in OURS:
        kind = TOPICS[topic].__name__
        assert re.search(rf'create_publisher\(\s*{kind}, "{topic[1:]}"', code), f"no node publishes {kind} on {topic}"


def test_every_value_of_the_perspective_can_be_read_back(perspective):
    def walk(group):
        for setting in group["keys"].values():
            if setting["type"] == "repr(QByteArray.hex)":
                found = re.fullmatch(r"QtCore\.QByteArray\(b'([0-9a-f]+)'\)", setting["repr(QByteArray.hex)"])
                assert found and bytes.fromhex(found[1])
            else:
                value(setting)
        for inner in group["groups"].values():
            walk(inner)

    walk(perspective)


def test_every_running_plugin_has_its_settings_and_its_place(perspective):
    manager = perspective["groups"]["pluginmanager"]
    running = value(manager["keys"]["running-plugins"])
    names = {f"{name.replace('/', '__')}__{number}" for name, numbers in running.items() for number in numbers}
    assert {f"plugin__{name}" for name in names} == manager["groups"].keys()
    state = perspective["groups"]["mainwindow"]["keys"]["state"]["repr(QByteArray.hex)"]
    places = bytes.fromhex(re.search(r"b'([0-9a-f]+)'", state)[1]).decode("utf-16-be", errors="ignore")
    places += bytes.fromhex(re.search(r"b'([0-9a-f]+)'", state)[1])[1:].decode("utf-16-be", errors="ignore")
    assert all(name in places for name in names)
    assert {name.split("/")[0] for name in running} <= set(viewers.VIEWS["rqt"].packages)


def test_every_curve_of_rqt_is_a_number(perspective):
    curves = [
        curve
        for name, group in plugins(perspective).items()
        if "rqt_plot" in name
        for curve in value(group["groups"]["plugin"]["keys"]["topics"])
    ]
    assert {"/tristage/pruning/rate_2d", "/tristage/pruning/rate_3d"} <= set(curves)
    for curve in curves:
        topic = next(topic for topic in TOPICS if curve.startswith(f"{topic}/"))
        assert is_plottable(type_of(TOPICS[topic], curve.removeprefix(f"{topic}/").split("/"))), curve
        assert rqt.TOPICS[topic.removeprefix("/")] == TOPICS[topic].__name__, "rqt's own node must know it"


def test_rqt_shows_the_overlay(perspective):
    group = plugins(perspective)["plugin__rqt_image_view__ImageView__1"]
    assert value(group["groups"]["plugin"]["keys"]["topic"]) == "/tristage/overlay"


def test_every_panel_of_foxglove_is_placed_and_every_path_is_a_number(foxglove):
    def leaves(layout):
        return [layout] if isinstance(layout, str) else leaves(layout["first"]) + leaves(layout["second"])

    panels = foxglove["configById"]
    assert sorted(leaves(foxglove["layout"])) == sorted(panels)
    for name, panel in panels.items():
        for path in panel.get("paths", ()):
            topic, _, fields = path["value"].partition(".")
            assert is_plottable(type_of(TOPICS[topic], fields.split("."))), (name, path)
    assert TOPICS[panels["Image!overlay"]["imageMode"]["imageTopic"]] is Image
    assert TOPICS[panels["DiagnosticSummary!all"]["topicToRender"]] is DiagnosticArray
    assert set(panels["3D!cell"]["topics"]) <= TOPICS.keys()
    assert panels["3D!cell"]["layers"]["arm"]["topic"] == "/robot_description"


def test_rviz_shows_topics_of_the_right_type_in_a_frame_of_the_arm(rviz):
    kinds = {
        "PointCloud2": PointCloud2,
        "Pose": PoseStamped,
        "Image": Image,
        "RobotModel": String,
        "MarkerArray": MarkerArray,
    }
    shown = set()
    for display in rviz["Displays"]:
        topic = display.get("Topic", display.get("Description Topic"))
        if topic:
            assert TOPICS[topic["Value"]] is kinds[display["Class"].split("/")[1]], display["Name"]
            shown.add(topic["Value"])
    assert {"/tristage/kept_cloud", "/robot_description", "/arm/end_pose", "/arm/site"} <= shown
    assert f'<link name="{rviz["Global Options"]["Fixed Frame"]}"' in urdf(True)


def test_the_aggregator_groups_every_part_and_expects_none_that_there_is_not():
    parts = [
        f"{node}: {part}"
        for node in ("policy", "point_cloud", "recorder", "simulation")
        for part in re.findall(r'_diagnostics\.add\(\s*f?"([^"]+)"', code_of(node))
    ]
    parts += [f"arm: {part}" for part in messages.PARTS]
    parts += [f"front: {part}" for part in ("device", "images", "clock")]
    assert {"policy: pruning", "point_cloud: {name} depth"} <= set(parts)
    groups = yaml.safe_load(resource("config", "diagnostic_aggregator.yaml").read_text())["/**"]["ros__parameters"]
    analyzers = [group for group in groups.values() if isinstance(group, dict)]
    for part in parts:
        homes = [
            group["path"]
            for group in analyzers
            if any(part.startswith(start) for start in group.get("startswith", ()))
            or any(word in part for word in group.get("contains", ()))
        ]
        assert len(homes) == 1, f"{part} is in {homes or 'no group'}"
    for group in analyzers:
        assert set(group.get("expected", ())) <= set(parts)


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """Return a function that installs packages with one program each into the only prefix."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")

    def install(*packages):
        index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
        index.mkdir(parents=True, exist_ok=True)
        for package in packages:
            (index / package).touch()

    return install


@pytest.mark.parametrize("name", ["rqt", "rviz", "foxglove"])
def test_a_viewer_that_is_not_installed_is_named_in_one_line(prefix, name):
    with pytest.raises(graph.GraphError) as error:
        graph.build("piper_pick", {name: "true"})
    text = str(error.value)
    assert "\n" not in text and text.startswith(f"{name}:=true needs")
    for package in viewers.VIEWS[name].packages:
        assert f"ros-jazzy-{package.replace('_', '-')}" in text
    assert "tristage monitor" in text


def test_only_what_is_missing_is_asked_for(prefix):
    prefix("rviz2")
    with pytest.raises(graph.GraphError, match=r"sudo apt install ros-jazzy-robot-state-publisher;"):
        graph.build("piper_pick", {"rviz": "true"})


def test_viewers_come_with_what_they_need_once(prefix):
    for view in viewers.VIEWS.values():
        prefix(*view.packages)
    nodes = graph.build("piper_pick", {"rqt": "true", "rviz": "true", "foxglove": "true"}).nodes
    beside = [node.name for node in nodes if node.executable in ("viewer", "robot_model")]
    assert beside == ["robot_model", "diagnostic_aggregator_viewer", "rqt_viewer", "rviz_viewer", "foxglove_viewer"]
    for node in nodes:
        assert node.executable != "viewer" or node.parameters["view"] in viewers.VIEWS


@pytest.mark.parametrize("name", viewers.VIEWS)
def test_every_topic_of_a_configuration_is_one_that_a_namespace_changes(name, tmp_path):
    view = viewers.VIEWS[name]
    plain, changed = ("\n".join(view.command_line(namespace, tmp_path)) for namespace in ("/", "/cell1"))
    assert "__ns:=/cell1" in changed and "/cell1" not in plain
    if view.configuration:
        text = resource("config", view.configuration).read_text()
        named = re.findall(r"(?:'|: )(/[a-z]\w*(?:/\w+)*)", text)
        assert {topic for topic in TOPICS if any(f"{name}/".startswith(f"{topic}/") for name in named)} == {
            *view.topics
        }
        assert all(any(f"{name}/".startswith(f"{topic}/") for topic in view.topics) for name in named)
