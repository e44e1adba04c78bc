"""Makes an operator of its parts, once for eager calls and once for graphs.

An eager call goes straight to the kernels through an autograd.Function, because the dispatcher
takes longer than a small kernel. A traced call (torch.compile, torch.export) goes through
torch.ops.slt_fast.NAME, which takes CUDA tensors to the kernels and CPU tensors to the reference
formula. Both share their rules for autograd and vmap. Two things come from the reference formula:
calls within forward-mode differentiation (torch.func.jvp, jacfwd, hessian), and gradients that may
be differentiated themselves (create_graph, torch.func.grad) or are batched (is_grads_batched).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.autograd import forward_ad

from slt_fast.ops.launching import NO_PLANS, Plans

Function = Callable[..., Any]


@dataclass(frozen=True)
class Backward:
    """The backward pass of an operator.

    Args:
        kernels: (plans, gradient, *tensors, *saved, *settings, needed) -> gradients of the tensors,
            None for one that is not in the list of bools `needed`.
        gradients: (gradient, *tensors, *settings) -> the same by the plain formula, differentiable.
        memory: (number, tensor) -> empty memory with the layout of a tensor's gradient.
        needs_output: Whether the output is the first of `saved`; it is None if the first tensor
            that the forward pass saved is empty or None.
    """

    kernels: Function
    gradients: Function
    memory: Callable[[int, torch.Tensor], torch.Tensor]
    needs_output: bool = False


@dataclass(frozen=True)
class Schema:
    """The arguments of an operator, as torch.library writes them: tensors first, then settings."""

    arguments: list[str]
    num_tensors: int
    num_results: int

    @staticmethod
    def of(function: Function) -> Schema:
        """Reads the annotations of a function that returns the output and the saved tensors."""
        text = torch.library.infer_schema(function, mutates_args=())
        arguments, results = text.split(" -> ")
        names = arguments.strip("()").split(", ")
        return Schema(names, arguments.count("Tensor"), results.count("Tensor"))

    def backward(self, needs_output: bool) -> str:
        """Returns the schema of the backward operator."""
        numbers = range(0 if needs_output else 1, self.num_results)
        saved = [f"Tensor? result{number}" for number in numbers]
        tensors, settings = self.arguments[: self.num_tensors], self.arguments[self.num_tensors :]
        arguments = ["Tensor gradient", *tensors, *saved, *settings, "bool[] needed"]
        return f"({', '.join(arguments)}) -> ({', '.join(['Tensor'] * self.num_tensors)})"


def define(
    name: str,
    *,
    kernels: Function,
    reference: Function,
    memory: Function,
    backward: Backward | None,
    vmap: Function,
    inference: Function | None = None,
) -> Callable[[], Callable[..., torch.Tensor]]:
    """Registers torch.ops.slt_fast.NAME (and NAME_backward) and returns the function to call.

    Args:
        name: Name of the operator.
        kernels: (plans, *tensors, *settings) -> the output and the tensors to save for the backward
            pass, of which some may be None. The annotations of tensors, settings and results are
            the operator's schema.
        reference: The same arguments -> the output, by the plain formula.
        memory: The same arguments -> empty memory with the layout of all results of `kernels`; for
            one that is None, a tensor without values in the type of the output.
        backward: The backward pass; None if the gradient of the only tensor is that of the output.
        vmap: (operator, info, in_dims, *arguments) -> results and their dimensions, as for
            torch.library; `call_by_call` fits any operator with a tuple of results.
        inference: As `kernels`, for eager calls without gradients, and returns the output alone;
            None for `kernels`.

    Returns:
        A function without arguments that returns one for calls of one layout: it takes the tensors
        and settings, and returns the output.
    """
    in_any_call = _for_any_call(kernels)
    schema = Schema.of(in_any_call)
    definition = _register(name, in_any_call, partial(_on_cpu, reference, memory), memory, vmap)
    setup_context: Function = _keep_nothing
    eager_rule: Function = _hand_on
    graph_rule: Function = _hand_on
    if backward is not None:
        setup_context = partial(_keep_tensors, schema, backward)
        eager_rule = partial(_gradients, schema, backward, None)
        operator = _register_backward(f"{name}_backward", schema, backward)
        graph_rule = partial(_gradients, schema, backward, operator)
    definition.register_autograd(graph_rule, setup_context=setup_context)
    in_graphs = getattr(torch.ops.slt_fast, name)
    in_transforms = _in_transforms(name, in_any_call, setup_context, eager_rule, vmap)
    in_eager = _eager(name, kernels, setup_context, eager_rule)
    is_single, num_tensors = schema.num_results == 1, schema.num_tensors

    def call(plans: Plans, *arguments: Any) -> torch.Tensor:
        if _is_forward_mode():
            return reference(*arguments)
        if torch.compiler.is_compiling():
            results = in_graphs(*arguments)
        elif torch._C._are_functorch_transforms_active():
            results = in_transforms(*arguments)
        elif torch.is_grad_enabled() and _needs_gradient(arguments[:num_tensors]):
            return in_eager(plans, *arguments)
        elif inference is not None:
            return inference(plans, *arguments)
        else:
            results = kernels(plans, *arguments)
        return results if is_single else results[0]

    return lambda: partial(call, Plans())


def _needs_gradient(tensors: tuple) -> bool:
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _is_forward_mode() -> bool:
    """Returns whether a call may carry tangents: within torch.func.jvp or a dual level."""
    return forward_ad._current_level >= 0


# A graph is traced inside of the dual level or outside, and torch.compile checks which.
_is_forward_mode._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _is_batched(gradient: torch.Tensor) -> bool:
    """Returns whether a gradient is mapped, by is_grads_batched or by torch.func.vmap."""
    functorch = torch._C._functorch
    return functorch.is_legacy_batchedtensor(gradient) or functorch.is_batchedtensor(gradient)


def call_by_call(operator: Function, info: Any, in_dims: tuple, *arguments: Any) -> tuple:
    """Maps an operator over a dimension by calling it for each element."""
    calls = [
        operator(
            *(
                argument if dim is None else argument.select(dim, index)
                for argument, dim in zip(arguments, in_dims, strict=True)
            )
        )
        for index in range(info.batch_size)
    ]
    results = tuple(torch.stack(values) for values in zip(*calls, strict=True))
    return results, (0,) * len(results)


def _register(
    name: str, on_cuda: Function, on_cpu: Function, memory: Function, vmap: Function, **options: Any
) -> Any:
    definition = torch.library.custom_op(
        f"slt_fast::{name}", on_cuda, mutates_args=(), device_types="cuda", **options
    )
    definition.register_kernel("cpu")(on_cpu)
    definition.register_fake(memory)
    definition.register_vmap(partial(vmap, getattr(torch.ops.slt_fast, name)))
    return definition


def _register_backward(name: str, schema: Schema, backward: Backward) -> Function:
    """Registers the backward operator; it returns empty tensors for gradients not needed."""
    memory = partial(_backward_memory, backward)
    on_cuda = partial(_backward_on_cuda, backward)
    on_cpu = partial(_backward_on_cpu, schema, backward)
    _register(
        name, on_cuda, on_cpu, memory, call_by_call, schema=schema.backward(backward.needs_output)
    )
    return getattr(torch.ops.slt_fast, name)


def _eager(name: str, kernels: Function, setup_context: Function, backward: Function) -> Function:
    """Returns the function that starts the kernels by given plans, with its rule for autograd.

    It returns the output alone. With a `setup_context` of its own, which torch.func needs, a
    Function reads the signature of `forward` in each call, which takes longer than a small kernel.
    """

    def forward(ctx: Any, plans: Plans, *arguments: Any) -> torch.Tensor:
        results = kernels(plans, *arguments)
        setup_context(ctx, arguments, results)
        ctx.plans = plans
        return results[0] if isinstance(results, tuple) else results

    def with_plans(ctx: Any, gradient: Any) -> tuple:
        return None, *backward(ctx, gradient)

    return _function(name, forward=forward, backward=with_plans).apply


def _for_any_call(kernels: Function) -> Function:
    """Returns the function without its first parameter, the plans of calls of one layout."""

    def in_any_call(*arguments: Any) -> Any:
        results = kernels(NO_PLANS, *arguments)
        if not isinstance(results, tuple):
            return results
        # An operator of torch.library returns tensors.
        out = results[0]
        return tuple(out.new_empty(0) if value is None else value for value in results)

    signature = inspect.signature(kernels)
    parameters = list(signature.parameters.values())[1:]
    in_any_call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return in_any_call


def _in_transforms(
    name: str, kernels: Function, setup_context: Function, backward: Function, vmap: Function
) -> Function:
    """Returns the same for calls within torch.func, with all results."""

    methods = {"forward": kernels, "setup_context": setup_context, "backward": backward}
    function = _function(name, **methods)
    function.vmap = staticmethod(partial(vmap, function.apply))
    return function.apply


def _function(name: str, **methods: Function) -> Any:
    statics = {method: staticmethod(function) for method, function in methods.items()}
    return type(name, (torch.autograd.Function,), statics)


def _on_cpu(reference: Function, memory: Function, *arguments: Any) -> Any:
    results = memory(*arguments)
    out, *saved = results if isinstance(results, tuple) else (results,)
    out.copy_(reference(*arguments))
    for tensor in saved:
        tensor.zero_()
    return results


def _backward_memory(backward: Backward, gradient: torch.Tensor, *others: Any) -> tuple:
    *tensors, needed = others
    return tuple(
        backward.memory(number, tensors[number]) if is_needed else gradient.new_empty(0)
        for number, is_needed in enumerate(needed)
    )


def _backward_on_cuda(backward: Backward, gradient: torch.Tensor, *others: Any) -> tuple:
    *_, needed = others
    return tuple(
        value if is_needed else gradient.new_empty(0)
        for value, is_needed in zip(
            backward.kernels(NO_PLANS, gradient, *others), needed, strict=True
        )
    )


def _backward_on_cpu(
    schema: Schema, backward: Backward, gradient: torch.Tensor, *others: Any
) -> tuple:
    *arguments, needed = others
    tensors = arguments[: schema.num_tensors]
    num_settings = len(schema.arguments) - schema.num_tensors
    settings = arguments[len(arguments) - num_settings :]
    results = _backward_memory(backward, gradient, *others)
    values = backward.gradients(gradient, *tensors, *settings)
    for result, value, is_needed in zip(results, values, needed, strict=True):
        if is_needed:
            result.copy_(value)
    return results


def _keep_tensors(
    schema: Schema, backward: Backward, ctx: Any, inputs: tuple, output: tuple
) -> None:
    out, *saved = output
    ctx.settings = inputs[schema.num_tensors :]
    ctx.set_materialize_grads(False)  # no zeros as large as the saved tensors
    ctx.mark_non_differentiable(*(tensor for tensor in saved if tensor is not None))
    if backward.needs_output:
        is_used = saved[0] is not None and saved[0].numel()
        saved = [out if is_used else None, *saved]
    ctx.save_for_backward(*inputs[: schema.num_tensors], *saved)


def _gradients(
    schema: Schema, backward: Backward, operator: Function | None, ctx: Any, gradient: Any, *_: Any
) -> tuple:
    if gradient is None:
        return (None,) * len(schema.arguments)
    gradient = gradient.resolve_neg()  # kernels do not see that a tensor is negated lazily
    tensors, num_tensors = ctx.saved_tensors, schema.num_tensors
    flags = ctx.needs_input_grad[-len(schema.arguments) :]  # the plans may come first
    needed = [bool(is_needed) for is_needed in flags[:num_tensors]]
    if torch.is_grad_enabled() or _is_batched(gradient):  # the former may be differentiated
        values = backward.gradients(gradient, *tensors[:num_tensors], *ctx.settings)
    elif operator is not None:
        values = operator(gradient, *tensors, *ctx.settings, needed)
    else:
        plans = getattr(ctx, "plans", NO_PLANS)
        values = backward.kernels(plans, gradient, *tensors, *ctx.settings, needed)
    known = (value if is_needed else None for value, is_needed in zip(values, needed, strict=True))
    return (*known, *(None for _ in ctx.settings))


def _keep_nothing(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
    pass


def _hand_on(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor]:
    return (gradient,)
