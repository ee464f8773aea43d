"""The environment's ticks: what a reset may touch, what an end shows, and what the policy may know."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from training_helpers import tiny_runner, walking_environment

from wildrobot.robot_description import RobotSpec
from wildrobot.signal_path.observation import default_layout
from wildrobot.training.reference.dataset import ReferenceDataset
from wildrobot.training.rl.rollout import StepBuffer
from wildrobot.training.tasks.environment import Environment, pelvis_motion

ON_ITS_FACE = np.array([np.cos(0.7), 0.0, np.sin(0.7), 0.0])


def fell(env: Environment, row: int) -> Any:
    """Throw one robot on its face, take the tick that sees it; returns the step."""
    env.sim.qpos[row, 2] = 0.3
    env.sim.qpos[row, 3:7] = ON_ITS_FACE
    return env.step(np.zeros((env.num_envs, env.spec.num_joints)))


def still(env: Environment) -> Any:
    return env.step(np.zeros((env.num_envs, env.spec.num_joints)))


def observed(env: Environment, obs: Any, name: str) -> list[Any]:
    """The frames (oldest first) of one slice of observations (N, D)."""
    start = 0
    for term in default_layout(env.spec):
        if term.name == name:
            return [obs[:, start + i * term.size : start + (i + 1) * term.size] for i in range(term.frames)]
        start += term.size * term.frames
    raise KeyError(name)


@pytest.fixture
def env(spec: RobotSpec, walking_reference: ReferenceDataset) -> Environment:
    """Four robots that are commanded to walk, past their first ticks."""
    environment: Environment = walking_environment(
        spec, walking_reference, reference_resets=1.0, command_s=(1e3, 1e3)
    )
    environment.reset()
    for _ in range(3):
        still(environment)
    return environment


def test_the_first_tick_is_the_reset_and_not_valid(
    spec: RobotSpec, small_reference: ReferenceDataset
) -> None:
    env = walking_environment(spec, small_reference)
    first = env.reset()
    assert not first.valid.any()
    assert not first.window_valid.any()
    assert still(env).valid.all()


def test_a_fall_ends_the_episode_and_shows_itself(env: Environment) -> None:
    step = fell(env, 1)
    assert step.terminated.tolist() == step.done.tolist() == [False, True, False, False]
    assert step.valid.all()
    gravity = observed(env, step.obs, "projected_gravity")[0]
    assert gravity[1, 0] > 0.9
    assert abs(gravity[0, 0]) < 0.3


def check_terminal_window_is_of_the_fallen_robot(env: Environment) -> None:
    before = still(env)
    step = fell(env, 1)
    older, newer = np.split(step.window, 2, axis=-1)
    assert step.window_valid[1]
    assert step.signal.estimate.projected_gravity[1, 0] > 0.9
    np.testing.assert_array_equal(older[1], before.features[1])
    np.testing.assert_array_equal(newer[1], step.features[1])


def test_the_terminal_window_is_read_before_the_reset(env: Environment) -> None:
    check_terminal_window_is_of_the_fallen_robot(env)


def check_the_tick_after_a_fall(env: Environment) -> None:
    fell(env, 1)
    step = still(env)
    assert step.valid.tolist() == [True, False, True, True]
    assert step.window_valid.tolist() == [True, False, True, True]
    assert not step.done.any()
    assert env.age[1] == 0
    assert observed(env, step.obs, "projected_gravity")[0][1, 2] < -0.95
    older, newer = np.split(step.window, 2, axis=-1)
    np.testing.assert_array_equal(older[1], newer[1])
    following = still(env)
    older, newer = np.split(following.window, 2, axis=-1)
    np.testing.assert_array_equal(older[1], step.features[1])
    assert following.valid.all()
    assert env.age[1] == 1
    assert still(env).window_valid.all()


def test_the_next_tick_carries_the_reset_and_no_window_spans_it(env: Environment) -> None:
    check_the_tick_after_a_fall(env)


def test_style_is_not_judged_while_a_robot_is_to_stand(
    spec: RobotSpec, small_reference: ReferenceDataset
) -> None:
    env = walking_environment(spec, small_reference, reference_resets=0.0, stand_share=1.0)
    env.reset()
    assert not any(still(env).window_valid.any() for _ in range(5))
    env.task._command[2] = [0.3, 0.0]
    judged = [still(env).window_valid.tolist() for _ in range(3)]
    assert judged == [[False] * 4, [False, False, True, False], [False, False, True, False]]


def check_history_is_refilled(env: Environment) -> None:
    fell(env, 1)
    step = still(env)
    for name in ("features", "previous_action"):
        older, newer = observed(env, step.obs, name)
        np.testing.assert_array_equal(older[1], newer[1])
    older, newer = observed(env, step.obs, "features")
    assert not np.array_equal(older[0], newer[0])
    np.testing.assert_allclose(
        observed(env, step.obs, "previous_action")[-1][1],
        (step.signal.frame.joint_position[1] - env.spec.default_joint_pos) / env.spec.action_scale,
        atol=1e-6,
    )


def test_the_history_is_refilled_at_a_reset(env: Environment) -> None:
    check_history_is_refilled(env)


def test_a_reset_does_not_touch_the_other_rows(spec: RobotSpec, small_reference: ReferenceDataset) -> None:
    steps = []
    for thrown in (False, True):
        env = walking_environment(spec, small_reference, reference_resets=0.0)
        env.reset()
        for _ in range(3):
            still(env)
        steps.append([fell(env, 1) if thrown else still(env), *(still(env) for _ in range(5))])
    for plain, other in zip(*steps, strict=True):
        for row in (0, 2, 3):
            np.testing.assert_array_equal(plain.obs[row], other.obs[row])
            assert plain.rewards.total[row] == other.rewards.total[row]


def test_a_time_out_ends_without_a_fall(spec: RobotSpec, small_reference: ReferenceDataset) -> None:
    env = walking_environment(spec, small_reference, episode_s=0.1)
    env.reset()
    ends = []
    for _ in range(12):
        step = still(env)
        assert not step.terminated.any()
        ends.append(step.done.all())
    assert [i for i, end in enumerate(ends) if end] == [4, 10]  # five ticks, one for the reset, five ticks


def test_random_ages_spread_the_time_outs(spec: RobotSpec, small_reference: ReferenceDataset) -> None:
    env = walking_environment(spec, small_reference, episode_s=0.1)
    env.reset(np.array([0, 1, 2, 3]))
    ended = [still(env).done.tolist() for _ in range(4)]
    assert ended == [
        [False, False, False, False],
        [False, False, False, True],
        [False, False, True, False],
        [False, True, False, False],
    ]


def test_what_was_done_in_the_tick_of_the_reset_has_no_effect(env: Environment) -> None:
    fell(env, 1)
    saved = env.state_dict()
    results = []
    for wild in (0.0, 3.0):
        env.load_state_dict(saved)
        action = np.zeros((4, env.spec.num_joints))
        action[1] = wild
        reset, after = env.step(action), still(env)
        results.append((reset.obs[1], after.obs[1], after.rewards.total[1]))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------- rewards


def check_terms_do_not_vanish_at_a_reset(env: Environment) -> None:
    """The row that resets pays nothing; the others pay as ever."""
    usual = still(env)
    fell(env, 1)
    step = still(env)
    assert step.rewards.terms.keys() == usual.rewards.terms.keys()
    for name, value in step.rewards.terms.items():
        assert value.shape == (4,)
        assert value[1] == 0.0, name
    for name in ("forward", "upright", "contact"):
        np.testing.assert_array_less(0.01, step.rewards.terms[name][[0, 2, 3]])
    np.testing.assert_allclose(step.rewards.total, sum(step.rewards.terms.values()))


def test_many_ticks_are_rewarded_together_as_one_by_one(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    env = tiny_runner(spec, walking_reference, steps=12).env
    rng = np.random.default_rng(0)
    steps = [env.step(rng.normal(0.0, 0.3, (env.num_envs, spec.num_joints))) for _ in range(20)]
    assert any(not step.valid.all() for step in steps)
    buffer, apart = StepBuffer(len(steps)), [step.rewards for step in steps]
    for t, step in enumerate(steps):
        buffer.store(t, step.data)
    together, critic_obs = env.compute_rewards(buffer.steps), env.critic_observation(buffer.steps)
    np.testing.assert_array_equal(critic_obs, [step.critic_obs for step in steps])
    np.testing.assert_allclose(together.total, [one.total for one in apart], atol=1e-12)
    for name, value in together.terms.items():
        np.testing.assert_allclose(value, [one.terms[name] for one in apart], atol=1e-12, err_msg=name)
    for name, value in together.figures.items():
        np.testing.assert_allclose(value, [one.figures[name] for one in apart], atol=1e-12, err_msg=name)


def test_reward_terms_do_not_vanish_when_a_row_resets(env: Environment) -> None:
    check_terms_do_not_vanish_at_a_reset(env)


def logged_and_expected(runner: Any) -> tuple[dict[str, float], dict[str, float], list[Any]]:
    """Logged reward terms of one iteration, their means over valid ticks, and the ticks."""
    steps: list[Any] = []
    real = runner.env.step

    def watched(action: Any) -> Any:
        steps.append(real(action))
        return steps[-1]

    runner.env.step = watched
    metrics = runner.iterate()
    runner.env.step = real
    count = sum(int(step.valid.sum()) for step in steps)
    names = steps[0].rewards.terms
    expected = {
        f"reward/{n}": sum(float(s.rewards.terms[n][s.valid].sum()) for s in steps) / count for n in names
    }
    return {name: metrics[name] for name in expected}, expected, steps


def test_logged_terms_are_means_over_valid_ticks(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    runner = tiny_runner(spec, walking_reference, steps=12)
    logged, expected, steps = logged_and_expected(runner)
    assert any(not step.valid.all() for step in steps)
    assert logged == pytest.approx(expected)
    assert logged["reward/upright"] > 0.03


def test_the_value_after_an_end_is_that_of_the_terminal_observation(
    spec: RobotSpec, walking_reference: ReferenceDataset
) -> None:
    runner, after, critic = tiny_runner(spec, walking_reference, steps=12), [], []
    real = runner.env.step

    def watched(action: Any) -> Any:
        step = real(action)
        with torch.no_grad():
            critic.append(runner.ppo.critic(torch.from_numpy(step.critic_obs)))
        after.append(step.done.copy())
        return step

    runner.env.step = watched
    runner.iterate()
    assert np.any(after[:-1])
    torch.testing.assert_close(runner.rollout.next_values, torch.stack(critic))
    resets = ~runner.rollout.valid
    assert torch.equal(resets[1:], torch.from_numpy(np.array(after[:-1])))
    assert torch.all(runner.rollout.rewards[resets] == 0.0)


# ---------------------------------------------------------------------- what the policy may know


def test_the_policy_sees_nothing_of_the_simulator_s_truth(
    spec: RobotSpec, small_reference: ReferenceDataset
) -> None:
    seen = []
    for lie in (False, True):
        env = walking_environment(spec, small_reference)
        real = env.sim.truth

        def lying(real: Any = real) -> Any:
            truth = real()
            lies = {
                "pelvis_linear_velocity": 9.0,
                "foot_force": 7.0,
                "pelvis_position": 0.4,
                "foot_position": 0.2,
            }
            return dataclasses.replace(truth, **{k: getattr(truth, k) * 0 + v for k, v in lies.items()})

        if lie:
            env.sim.truth = lying
        env.reset()
        seen.append(still(env))
    np.testing.assert_array_equal(seen[0].obs, seen[1].obs)
    np.testing.assert_array_equal(seen[0].features, seen[1].features)
    assert not np.array_equal(seen[0].critic_obs, seen[1].critic_obs)
    assert not np.array_equal(seen[0].rewards.total, seen[1].rewards.total)


def test_the_task_s_motion_is_in_the_heading_frame(env: Environment) -> None:
    truth = env.sim.truth()
    turned = dataclasses.replace(
        truth,
        pelvis_quaternion=np.tile([np.cos(0.75), 0.0, 0.0, np.sin(0.75)], (4, 1)),
        pelvis_linear_velocity=np.tile([0.3 * np.cos(1.5), 0.3 * np.sin(1.5), 0.1], (4, 1)),
        pelvis_angular_velocity=np.tile([0.1, 0.2, 0.3], (4, 1)),
    )
    motion = pelvis_motion(turned)
    np.testing.assert_allclose(motion.yaw, 1.5)
    np.testing.assert_allclose(motion.velocity, np.tile([0.3, 0.0, 0.1], (4, 1)), atol=1e-12)
    np.testing.assert_allclose(motion.angular_velocity, np.tile([0.1, 0.2, 0.3], (4, 1)), atol=1e-12)
    np.testing.assert_allclose(motion.up, np.tile([0.0, 0.0, 1.0], (4, 1)), atol=1e-12)
