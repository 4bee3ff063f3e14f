"""Training steps as CUDA graphs: a step's kernels recorded once for each shape of batch, and launched together.

A step of these models has hundreds of kernels of a few microseconds each. Launched one by one from Python they take
several times as long as they compute.
"""

from collections.abc import Callable

import torch

from helpers.gpt.batches import Batch

WARM_UP = 2  # passes before a capture: libraries choose their kernels and take their memory in them


class StepGraphs:
    """Steps as graphs, recorded when the first batch of a shape comes.

    A replay does what the step does, to the bit, dropout included: its masks come from where the generator stands.

    Args:
        losses: batch -> (2,) losses, and gradients.
        update: takes them into the weights, with the rate and the moments of an optimiser that can be captured.
        forget: drops the gradients.
        generator: of dropout, on the GPU.
    """

    def __init__(
        self,
        losses: Callable[[Batch], torch.Tensor],
        update: Callable[[], None],
        forget: Callable[[], None],
        generator: torch.Generator,
    ) -> None:
        self.losses, self.update, self.forget, self.generator = losses, update, forget, generator
        self.known: dict[tuple, tuple[torch.cuda.CUDAGraph, Batch, torch.Tensor]] = {}
        self.memory = None  # which the graphs share: no two of them run at once

    def step(self, batch: Batch) -> torch.Tensor:
        """Take a step; the losses (2,) of the batch, to be read before the next one."""
        shape = tuple(tensor.shape for tensor in batch)
        with torch.cuda.device(self.generator.device):
            if shape not in self.known:
                self.known[shape] = self._record(Batch(*(tensor.clone() for tensor in batch)))
            graph, place, losses = self.known[shape]
            for mine, given in zip(place, batch, strict=True):
                mine.copy_(given)
            graph.replay()
        return losses

    def _record(self, place: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, torch.Tensor]:
        """The graph of a step on the batch that stands in `place`; weights, moments and generator stay as they are."""
        before = self.generator.get_state()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self.forget()
                self.losses(place)
        torch.cuda.current_stream().wait_stream(aside)
        self.forget()
        self.generator.set_state(before)
        self.memory = self.memory or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, pool=self.memory):
            losses = self.losses(place)
            self.update()
        return graph, place, losses
