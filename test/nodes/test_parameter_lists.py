"""What a parameter file is checked with is what the nodes have."""

from tristage_ros.graph.parameter_file import known
from tristage_ros.nodes.parameters import LISTS, text
from tristage_ros.resources import resource
from tristage_ros.start import NODES


def test_the_shipped_list_is_that_of_the_nodes():
    """Else: python -m tristage_ros.nodes.parameters > new.yaml; mv new.yaml config/parameters.yaml."""
    assert resource("config", "parameters.yaml").read_text(encoding="utf-8") == text()
    assert known().keys() == {*LISTS, "machines"} == {*NODES, "machines"}
