"""`Node`: a handle to a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .api import nodes
from .wire import node as wire

if TYPE_CHECKING:
    from .aio import AsyncFabric
    from .fabric import Fabric


NodeT = TypeVar("NodeT", bound="NodeBase")


class NodeBase:
    """The base of the sync and the async class. Makes no requests."""

    def __init__(self, info: wire.Node) -> None:
        #: The node as last read from the server.
        self.info = info

    @property
    def id(self) -> str:
        """The node's name."""
        return self.info.id

    @property
    def state(self) -> str:
        """`ready`, `cordoned`, `draining`, `drained` or `lost`, as last read."""
        return self.info.state

    def __repr__(self) -> str:
        info = self.info
        return f"<{type(self).__name__} {info.id} {info.state}, {info.running} of {info.cpu_slots} slots in use>"

    def _repr_html_(self) -> str:
        from .notebook.html import node_table

        return node_table([self.info])


class Node(NodeBase):
    """A node. Created by `Fabric.nodes`. Changes need an admin's token."""

    def __init__(self, fabric: Fabric, info: wire.Node) -> None:
        super().__init__(info)
        self._fabric = fabric

    def cordon(self) -> Node:
        """Closes the node for new work; running tasks continue. Returns self."""
        return self._set("cordon")

    def drain(self, *, deadline_s: int | None = None) -> Node:
        """Closes the node for new work, before it is stopped. Returns self.

        Tasks that still run after `deadline_s` seconds are stopped and run elsewhere. The next process with this name
        accepts work again.
        """
        return self._set("drain", deadline_s)

    def uncordon(self) -> Node:
        """Opens the node for work again. Returns self."""
        return self._set("uncordon")

    def _set(self, verb: str, deadline_s: int | None = None) -> Node:
        self.info = self._fabric._io.run(nodes.set_state(self._fabric.policy, self.id, verb, deadline_s))
        return self


class AsyncNode(NodeBase):
    """The async version of `Node`."""

    def __init__(self, fabric: AsyncFabric, info: wire.Node) -> None:
        super().__init__(info)
        self._fabric = fabric

    async def cordon(self) -> AsyncNode:
        """See `Node.cordon`."""
        return await self._set("cordon")

    async def drain(self, *, deadline_s: int | None = None) -> AsyncNode:
        """See `Node.drain`."""
        return await self._set("drain", deadline_s)

    async def uncordon(self) -> AsyncNode:
        """See `Node.uncordon`."""
        return await self._set("uncordon")

    async def _set(self, verb: str, deadline_s: int | None = None) -> AsyncNode:
        self.info = await self._fabric._io.run(nodes.set_state(self._fabric.policy, self.id, verb, deadline_s))
        return self


class Nodes(list[NodeT]):
    """A list of nodes that a notebook shows as one table."""

    def _repr_html_(self) -> str:
        from .notebook.html import node_table

        return node_table([node.info for node in self])
