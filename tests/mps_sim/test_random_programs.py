"""Random programs give the same bits on the simulated device as on the CPU."""

import random
import warnings

import torch

from tests.mps_sim.cases import assert_same


def random_step(rng, shapes):
    """(function from a list of tensors to a tensor, parameters included; whether it writes to an out= argument)"""
    i, j, k = (rng.randrange(len(shapes)) for _ in range(3))
    dims = len(shapes[i])
    dim = rng.randrange(-dims, dims) if dims else 0
    size = shapes[i][dim] if dims else 1
    start, length, step = rng.randrange(size + 1), rng.randrange(size + 1), rng.randrange(1, 4)
    number, order = rng.uniform(-2, 2), rng.sample(range(dims), dims)
    sizes = [rng.randrange(1, 5) for _ in range(rng.randrange(1, 4))]
    picks = [rng.randrange(max(size, 1)) for _ in range(rng.randrange(1, 5))]
    index = lambda x: torch.tensor(picks, device=x.device)  # noqa: E731
    masked = lambda x: x > number  # noqa: E731
    strides = [rng.randrange(4) for _ in sizes]
    steps = [
        # elementwise, reductions, linear algebra
        lambda t: torch.tanh(t[i]),
        lambda t: t[i].sin(),
        lambda t: t[i] + t[j],
        lambda t: t[i] * number - t[j],
        lambda t: torch.maximum(t[i], t[j]),
        lambda t: torch.where(t[i] > t[j], t[i], t[k]),
        lambda t: torch.addcmul(t[i], t[j], t[k]),
        lambda t: torch.lerp(t[i], t[j], number),
        lambda t: t[i].abs().sqrt(),
        lambda t: t[i].sum(dim),
        lambda t: t[i].mean(),
        lambda t: t[i].amax(dim, keepdim=True),
        lambda t: t[i].var(dim),
        lambda t: t[i].cumsum(dim),
        lambda t: t[i].softmax(dim),
        lambda t: t[i].sort(dim=dim, stable=True).values,
        lambda t: t[i].topk(length, dim).values,
        lambda t: t[i].argsort(dim=dim, stable=True).float(),
        lambda t: t[i] @ t[j],
        lambda t: t[i].tril(step),
        lambda t: t[i].norm(dim=dim),
        # other shapes, copies
        lambda t: torch.cat([t[i], t[j]], dim),
        lambda t: torch.stack([t[i], t[j]], dim),
        lambda t: t[i].flip(dim),
        lambda t: t[i].roll(step, dim),
        lambda t: t[i].repeat(2, *[1] * dims),
        lambda t: t[i].contiguous(),
        lambda t: t[i].clone(),
        lambda t: t[i].index_select(dim, index(t[i])),
        lambda t: t[i][index(t[i])],
        lambda t: t[i][masked(t[i])],
        lambda t: t[i].gather(dim, t[i].argsort(dim=dim, stable=True)),
        lambda t: torch.nan_to_num(t[i]),
        lambda t: t[i].half().float(),
        # views
        lambda t: t[i].narrow(dim, start, length),
        lambda t: t[i][start::step],
        lambda t: t[i].select(dim, start),
        lambda t: t[i].mT,
        lambda t: t[i].permute(order),
        lambda t: t[i].view(-1),
        lambda t: t[i].reshape(-1)[start:],
        lambda t: t[i].unsqueeze(dim),
        lambda t: t[i].squeeze(),
        lambda t: t[i].diagonal(start - 1),
        lambda t: t[i].unfold(dim, length, step),
        lambda t: t[i].expand(3, *shapes[i]),
        lambda t: t[i].as_strided(sizes, strides),
        lambda t: t[i].detach(),
        lambda t: t[i].split(max(length, 1), dim)[-1],
        lambda t: t[i].chunk(2, dim)[0],
        lambda t: t[i].unbind(dim)[-1],
        lambda t: t[i].view(torch.int32).view(torch.float32),
        lambda t: t[i].movedim(0, -1),
        # in place
        lambda t: t[i].add_(t[j]),
        lambda t: t[i].mul_(number),
        lambda t: t[i].copy_(t[j]),
        lambda t: t[i].zero_(),
        lambda t: t[i].clamp_(-1.0, 1.0),
        lambda t: t[i].masked_fill_(masked(t[i]), number),
        lambda t: t[i].cumsum_(dim),
        lambda t: t[i].index_add_(dim, index(t[i]), t[i].index_select(dim, index(t[i])).clone()),
        lambda t: t[i].fill_(number),
        lambda t: t[i].index_put_((index(t[i]),), t[j], accumulate=True),
        lambda t: t[i].scatter_(dim, t[i].argsort(dim), number),
        lambda t: t[i].transpose_(0, -1),
        lambda t: t[i].squeeze_(),
        lambda t: t[i].unsqueeze_(dim),
        lambda t: t[i].neg_(),
        lambda t: t[i].narrow(dim, start, length).exp_().clamp_(max=2.0),
        lambda t: t[i].T.triu_() if dims == 2 else t[i],
        lambda t: t[i].resize_(sizes).fill_(number),
        lambda t: t[i].set_(t[j]),
        lambda t: t[i].exponential_().fill_(number),
    ]
    into = [  # a given tensor, resized if need be
        lambda t: torch.add(t[i], t[j], out=t[k]),
        lambda t: torch.mul(t[i], number, out=t[i]),
        lambda t: torch.cat([t[i], t[j]], out=t[k]),
        lambda t: torch.matmul(t[i], t[j], out=torch.zeros_like(t[k])),
        lambda t: torch.cumsum(t[i], dim, out=t[j]),
        lambda t: torch.sum(t[i], dim, out=t[j]),
        lambda t: torch.sort(t[i], dim=dim, stable=True, out=(t[j], torch.zeros_like(t[j]).long()))[0],
    ]
    pick = rng.randrange(len(steps) + len(into))
    return (steps + into)[pick], pick >= len(steps)


def test_random_programs_equal_the_cpu():
    """300 chains of operators over tensors that share memory: after every step each equals its CPU twin."""

    def fresh(rng):
        tensors = [torch.randn([rng.randrange(1, 6) for _ in range(rng.randrange(4))]) for _ in range(4)]
        return tensors, [t.to("mps") for t in tensors]

    def attempt(step, tensors):
        try:
            return step(tensors)
        except (RuntimeError, IndexError, ValueError) as error:
            return error

    ran = refused = 0
    warnings.simplefilter("ignore")  # about out= arguments that are resized
    for seed in range(300):
        rng = random.Random(seed)
        cpu, mps = fresh(rng)
        for _ in range(20):
            step, writes_out = random_step(rng, [tuple(t.shape) for t in cpu])
            theirs, ours = attempt(step, cpu), attempt(step, mps)
            assert isinstance(theirs, Exception) == isinstance(ours, Exception), (seed, theirs, ours)
            if isinstance(theirs, Exception):
                refused += 1
                if writes_out:  # may be left resized and without defined content
                    cpu, mps = fresh(rng)
            else:
                ran += 1
                place = rng.randrange(8)
                cpu[place : place + 1], mps[place : place + 1] = [theirs], [ours]  # replaces one, or appends
            for a, b in zip(mps, cpu, strict=True):
                assert_same(a, b)
            small = [t.numel() <= 1000 and t.dim() < 6 for t in cpu]
            for tensors in (cpu, mps):
                tensors[:] = [
                    t if keep else torch.ones(2, device=t.device) for t, keep in zip(tensors, small, strict=True)
                ]
    assert ran > 4000
    assert refused > 500


def test_random_gradients_equal_the_cpu():
    operations = [
        torch.sin,
        torch.tanh,
        lambda x: x @ x.mT @ x,
        lambda x: x.cumsum(0),
        lambda x: x.sort(1).values,
        lambda x: x.T.exp().T,
        lambda x: torch.cat([x[1:], x[:1]]),
        lambda x: x.softmax(1),
        lambda x: x * x.amax(),
        lambda x: x.clone().mul_(0.5),
        lambda x: torch.where(x > 0, x, 2 * x),
        lambda x: x[[2, 0, 1, 3]],
        lambda x: x.unfold(0, 2, 1).prod(-1).repeat(2, 1)[:4],
    ]
    for seed in range(60):
        rng = random.Random(seed)
        chain = [rng.choice(operations) for _ in range(6)]
        start = torch.linspace(-1, 1, 16).reshape(4, 4)
        gradients = []
        for device in ("cpu", "mps"):
            x = start.clone().to(device).requires_grad_()
            y = x
            for operation in chain:
                y = operation(y)
            y.sum().backward()
            gradients.append(x.grad)
        assert_same(gradients[1], gradients[0])
