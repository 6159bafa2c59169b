"""gateway.yaml of a workspace."""

from bywire.adapters.yaml_file import parse, read_bytes
from bywire.config import gateway_config
from bywire.model.gateway import GatewayConfig
from bywire.wiring.workspace import Workspace


def read_gateway(workspace: Workspace) -> GatewayConfig:
    """The file; a workspace without one has the defaults and no upstreams. Raises ConfigError."""
    place = workspace.directory.path / gateway_config.FILE_NAME
    if not place.exists():
        return GatewayConfig()
    return parse(read_bytes(place), str(place), gateway_config.parse)
