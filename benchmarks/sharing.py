"""What a second training costs the first: steps a second alone and with another process beside.

    python -m benchmarks.sharing [--seconds 20] [--rounds 3]

Compares threads that wait spinning, as OpenMP's default is, with threads that wait asleep, as the
commands choose, in turns. Two processes on the same cores cost each other half at best.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

POLICIES = {"spinning": {}, "asleep": {"OMP_WAIT_POLICY": "PASSIVE"}}


def main() -> None:
    """Prints the medians of the rounds, and the ratios of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(steps_a_second(options.seconds))
        return
    speeds: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for number in (1, 2):
            for policy in POLICIES:
                measured = run(policy, number, options.seconds)
                speeds.setdefault((policy, number), []).append(measured)
    for (policy, number), values in speeds.items():
        print(f"{number} process(es), {policy}: {statistics.median(values):.2f} steps/s each")
    for number in (1, 2):
        pairs = zip(speeds["asleep", number], speeds["spinning", number], strict=True)
        ratios = ", ".join(f"{asleep / spinning:.2f}" for asleep, spinning in pairs)
        print(f"{number} process(es), asleep / spinning, each round: {ratios}")


def run(policy: str, number: int, seconds: float) -> float:
    """Returns the mean steps a second of so many processes at once."""
    known = {name: os.environ[name] for name in os.environ if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-m", "benchmarks.sharing", "--worker", "--seconds", str(seconds)]
    environment = known | POLICIES[policy]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    return statistics.mean(float(process.communicate()[0]) for process in processes)


def steps_a_second(seconds: float) -> float:
    """Trains the quickstart's network on random clips for so many seconds, after a warm-up."""
    import torch

    from slt_fast.model.network import TranslationNetwork
    from slt_fast.recipe import RECIPES

    torch.manual_seed(0)
    S = RECIPES["quickstart"].input.image_size
    network = TranslationNetwork(RECIPES["quickstart"].model, num_glosses=30, num_words=60)
    images, lengths = torch.rand(160, 3, S, S), torch.tensor([40] * 4)
    tokens = torch.randint(4, 60, (4, 12))

    def step() -> None:
        output = network(images, lengths, tokens)
        (output.text_logits.square().mean() + output.gloss_logits.square().mean()).backward()

    step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
