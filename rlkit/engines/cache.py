"""Keys and values of groups of completions: each prompt's once, each completion's own."""

import torch
from transformers import Cache


class GroupCache(Cache):
    """The attention cache of rows (completions) that share prompts, and attention over it.

    A prompt is kept once however many rows go on from it: the rows of a group ask it together, and their own tokens
    apart. Keys are kept transposed, (rows, heads, size, tokens), as the products over them read them. Buffers grow by
    doubling; rows that are done are left out by `keep`.

    Args:
        prompts: The filled cache of the prompts, left-padded to one length.
        seen: bool (prompts, length), False where padded.
        groups: int64 (rows,), ascending: the prompt of each row.
        softcap: Whether the model's own attention caps its scores where a layer asks for it.
    """

    def __init__(self, prompts: Cache, seen: torch.Tensor, groups: torch.Tensor, softcap: bool = True):
        super().__init__(layers=[])
        self.prompts = [(layer.keys.transpose(2, 3).contiguous(), layer.values) for layer in prompts.layers]
        self.mask = None
        if not seen.all():
            dtype = self.prompts[0][0].dtype
            self.mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
            self.mask = self.mask[:, None, None]
        self.softcap = softcap
        self.window = torch.inf
        self.length, self.capacity = 0, 0
        self.own: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._arrange(groups)

    def _arrange(self, groups: torch.Tensor) -> None:
        """Find each row's place in a grid of (prompts, most rows of a prompt); none where the rows fill it."""
        counts = groups.bincount()
        self.groups = groups
        self.grid = (len(counts), int(counts.max()))
        self.places = None
        if self.grid[0] * self.grid[1] != len(groups):
            first = counts.cumsum(0) - counts
            self.places = groups * self.grid[1] + torch.arange(len(groups), device=groups.device) - first[groups]

    def step(self) -> None:
        """Make room for one more token of each row."""
        if self.length == self.capacity:
            self.capacity = max(64, 2 * self.capacity)
            self._copy(None)
        self.length += 1

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only (int64, ascending), and with the prompts that they need."""
        prompts, groups = self.groups[rows].unique_consecutive(return_inverse=True)
        if len(prompts) < self.grid[0]:
            self.prompts = [(keys[prompts], values[prompts]) for keys, values in self.prompts]
            self.mask = None if self.mask is None else self.mask[prompts]
        self._copy(rows)
        self._arrange(groups)

    def _copy(self, rows: torch.Tensor | None) -> None:
        count = len(self.groups if rows is None else rows)
        for index, (_, values) in enumerate(self.prompts):
            _, heads, _, size = values.shape
            new = (
                values.new_empty((count, heads, size, self.capacity)),
                values.new_empty((count, heads, self.capacity, size)),
            )
            if index == len(self.own):
                self.own.append(new)
                continue
            keys, values = self.own[index]
            keys, values = keys[..., : self.length], values[:, :, : self.length]
            new[0][..., : self.length] = keys if rows is None else keys[rows]
            new[1][:, :, : self.length] = values if rows is None else values[rows]
            self.own[index] = new

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's new token, (rows, heads, 1, size); `attend` reads it."""
        keys, values = self.own[layer_idx]
        keys[..., self.length - 1] = key_states[:, :, 0]
        values[:, :, self.length - 1] = value_states[:, :, 0]
        return key_states, value_states

    def attend(
        self, layer: int, query: torch.Tensor, scaling: float, softcap: float | None, window: int | None
    ) -> torch.Tensor:
        """What a layer's new tokens see: query (rows, query heads, 1, size) to (rows, 1, query heads, size)."""
        self.window = min(self.window, window or torch.inf)
        rows, heads, _, size = query.shape
        prompt_keys, prompt_values = self.prompts[layer]
        keys, values = self.own[layer]
        length = prompt_keys.shape[-1]
        query = (query * scaling).reshape(rows, keys.shape[1], -1, size)  # query heads of one key head stand together
        shared = self._by_group(query) @ prompt_keys
        own = query @ keys[..., : self.length]
        if softcap is not None and self.softcap:
            shared, own = ((scores / softcap).tanh() * softcap for scores in (shared, own))
        if self.mask is not None:
            shared = shared + self.mask
        weights = torch.cat((self._by_row(shared, query.shape[2]), own), -1).softmax(-1)
        seen = self._by_row(self._by_group(weights[..., :length]) @ prompt_values, query.shape[2])
        seen = seen + weights[..., length:] @ values[:, :, : self.length]
        return seen.reshape(rows, 1, heads, size)

    def _by_group(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, heads, g, size) to (prompts, heads, rows of a prompt * g, size)."""
        prompts, most = self.grid
        _, heads, g, size = x.shape
        if self.places is not None:
            x = x.new_zeros((prompts * most, heads, g, size)).index_copy_(0, self.places, x)
        return x.reshape(prompts, most, heads, g, size).transpose(1, 2).reshape(prompts, heads, most * g, size)

    def _by_row(self, x: torch.Tensor, g: int) -> torch.Tensor:
        """The way back."""
        prompts, most = self.grid
        _, heads, _, size = x.shape
        x = x.view(prompts, heads, most, g, size).transpose(1, 2).reshape(prompts * most, heads, g, size)
        return x if self.places is None else x[self.places]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens that stand in the cache, padding included."""
        return self.prompts[0][0].shape[-1] + self.length
