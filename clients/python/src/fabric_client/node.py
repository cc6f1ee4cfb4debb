"""`Node`: a process that runs guests."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from .api import nodes
from .wire import node as wire

if TYPE_CHECKING:
    from .aio import AsyncFabric
    from .fabric import Fabric


NodeT = TypeVar("NodeT", bound="NodeBase")


class NodeBase:
    """What the two twins share. No request is made here."""

    def __init__(self, info: wire.Node) -> None:
        #: The last look at it.
        self.info = info

    @property
    def id(self) -> str:
        """Its name."""
        return self.info.id

    @property
    def state(self) -> str:
        """`ready`, `cordoned`, `draining`, `drained` or `lost`, at the last look."""
        return self.info.state

    def __repr__(self) -> str:
        info = self.info
        return f"<{type(self).__name__} {info.id} {info.state}, {info.running} of {info.cpu_slots} slots in use>"

    def _repr_html_(self) -> str:
        from .notebook.html import node_table

        return node_table([self.info])


class Node(NodeBase):
    """A node. Made by `Fabric.nodes`. What changes it needs an admin's token."""

    def __init__(self, fabric: Fabric, info: wire.Node) -> None:
        super().__init__(info)
        self._fabric = fabric

    def cordon(self) -> Node:
        """Gives it no new work; what runs there goes on. Gives itself."""
        return self._set("cordon")

    def drain(self, *, deadline_s: int | None = None) -> Node:
        """Gives it no new work, since it is about to leave. Gives itself.

        What still runs there after `deadline_s` seconds is stopped and runs elsewhere. The next process of its name
        takes work again.
        """
        return self._set("drain", deadline_s)

    def uncordon(self) -> Node:
        """Gives it work again. Gives itself."""
        return self._set("uncordon")

    def _set(self, verb: str, deadline_s: int | None = None) -> Node:
        self.info = self._fabric._io.run(nodes.set_state(self._fabric.policy, self.id, verb, deadline_s))
        return self


class AsyncNode(NodeBase):
    """As `Node`, for coroutines."""

    def __init__(self, fabric: AsyncFabric, info: wire.Node) -> None:
        super().__init__(info)
        self._fabric = fabric

    async def cordon(self) -> AsyncNode:
        """As `Node.cordon`."""
        return await self._set("cordon")

    async def drain(self, *, deadline_s: int | None = None) -> AsyncNode:
        """As `Node.drain`."""
        return await self._set("drain", deadline_s)

    async def uncordon(self) -> AsyncNode:
        """As `Node.uncordon`."""
        return await self._set("uncordon")

    async def _set(self, verb: str, deadline_s: int | None = None) -> AsyncNode:
        self.info = await self._fabric._io.run(nodes.set_state(self._fabric.policy, self.id, verb, deadline_s))
        return self


class Nodes(list[NodeT]):
    """Nodes, which a notebook shows as one table."""

    def _repr_html_(self) -> str:
        from .notebook.html import node_table

        return node_table([node.info for node in self])
