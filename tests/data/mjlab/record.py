"""Makes walk.onnx and walk.npz with mjlab: WildRobot in a task of its kind, the network exported, 60 ticks recorded.

    pip install mjlab==1.6.0
    python tests/data/mjlab/record.py

The network is not trained. The right leg comes first in the MJCF, so that mjlab counts joints otherwise than WildRobot.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import torch
from mjlab.actuator import BuiltinPositionActuatorCfg
from mjlab.entity import EntityArticulationInfoCfg, EntityCfg
from mjlab.envs import ManagerBasedRlEnv, ManagerBasedRlEnvCfg, mdp
from mjlab.envs.mdp.actions import JointPositionActionCfg
from mjlab.managers.observation_manager import ObservationGroupCfg
from mjlab.managers.observation_manager import ObservationTermCfg as Term
from mjlab.managers.reward_manager import RewardTermCfg
from mjlab.managers.termination_manager import TerminationTermCfg
from mjlab.rl import (
    MjlabOnPolicyRunner,
    RslRlModelCfg,
    RslRlOnPolicyRunnerCfg,
    RslRlPpoAlgorithmCfg,
    RslRlVecEnvWrapper,
)
from mjlab.rl.exporter_utils import attach_metadata_to_onnx, get_base_metadata
from mjlab.scene import SceneCfg
from mjlab.sim import MujocoCfg, SimulationCfg
from mjlab.tasks.velocity.mdp import UniformVelocityCommandCfg
from mjlab.terrains import TerrainEntityCfg

HERE = Path(__file__).parent
MJCF = HERE.parents[2] / "wildrobot" / "robot_description" / "wildrobot.xml"
HOME = {
    "waist_yaw": 0.02, ".*_hip_pitch": -0.35, ".*_hip_roll": 0.03, ".*_knee_pitch": 0.7, ".*_ankle_pitch": -0.3,
}  # fmt: skip
ACTOR = {
    "base_ang_vel": Term(func=mdp.base_ang_vel, scale=0.25, history_length=3),
    "projected_gravity": Term(func=mdp.projected_gravity),
    "joint_pos": Term(func=mdp.joint_pos_rel, params={"biased": True}, history_length=2),
    "joint_vel": Term(func=mdp.joint_vel_rel, scale=0.05, clip=(-1.0, 1.0), history_length=4),
    "actions": Term(func=mdp.last_action, history_length=2),
    "command": Term(func=mdp.generated_commands, params={"command_name": "twist"}, scale=(2.0, 2.0, 0.25)),
}


def right_leg_first() -> mujoco.MjSpec:
    """The robot alone, without floor, lights, sensors and actuators."""
    tree = ElementTree.parse(MJCF)
    pelvis = tree.find(".//body[@name='pelvis']")
    right = pelvis.find("body[@name='right_hip']")
    pelvis.remove(right)
    pelvis.insert(0, right)
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        tree.write(file.name)
        spec = mujoco.MjSpec.from_file(file.name)
    for element in (spec.geom("floor"), *spec.lights, *spec.sensors, *spec.actuators):
        spec.delete(element)
    return spec


def environment() -> ManagerBasedRlEnv:
    """One robot on a plane under a constant command."""
    servo = BuiltinPositionActuatorCfg(
        target_names_expr=(".*",), stiffness=18.9, damping=0.85, effort_limit=4.1
    )
    robot = EntityCfg(
        init_state=EntityCfg.InitialStateCfg(pos=(0.0, 0.0, 0.48), joint_pos=HOME, joint_vel={".*": 0.0}),
        spec_fn=right_leg_first,
        articulation=EntityArticulationInfoCfg(actuators=(servo,)),
    )
    action = JointPositionActionCfg(
        entity_name="robot",
        actuator_names=(".*",),
        scale={".*_pitch": 0.35, ".*_roll": 0.2, "waist_yaw": 0.15},
        use_default_offset=True,
    )
    command = UniformVelocityCommandCfg(
        entity_name="robot",
        resampling_time_range=(100.0, 100.0),
        rel_standing_envs=0.0,
        rel_heading_envs=0.0,
        heading_command=False,
        ranges=UniformVelocityCommandCfg.Ranges(
            lin_vel_x=(0.3, 0.3), lin_vel_y=(0.0, 0.0), ang_vel_z=(0.2, 0.2)
        ),
    )
    config = ManagerBasedRlEnvCfg(
        scene=SceneCfg(terrain=TerrainEntityCfg(terrain_type="plane"), entities={"robot": robot}, num_envs=1),
        observations={name: ObservationGroupCfg(terms=dict(ACTOR)) for name in ("actor", "critic")},
        actions={"joint_pos": action},
        commands={"twist": command},
        events={},
        rewards={"alive": RewardTermCfg(func=lambda env: torch.ones(env.num_envs), weight=1.0)},
        terminations={"time_out": TerminationTermCfg(func=mdp.time_out, time_out=True)},
        sim=SimulationCfg(mujoco=MujocoCfg(timestep=0.005)),
        decimation=4,
        episode_length_s=100.0,
    )
    return ManagerBasedRlEnv(config, device="cpu")


def main() -> None:
    """Export and record."""
    env = environment()
    model = RslRlModelCfg(hidden_dims=(16, 16), activation="elu", obs_normalization=True)
    gaussian = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}
    actor = RslRlModelCfg(**{**asdict(model), "distribution_cfg": gaussian})
    agent = RslRlOnPolicyRunnerCfg(
        actor=actor, critic=model, algorithm=RslRlPpoAlgorithmCfg(), logger="tensorboard", upload_model=False
    )
    torch.manual_seed(1)
    runner = MjlabOnPolicyRunner(RslRlVecEnvWrapper(env), asdict(agent), None, "cpu")
    policy = runner.alg.get_policy()
    with torch.no_grad():
        for parameter in policy.mlp.parameters():
            parameter.mul_(1.5)
        policy.obs_normalizer._mean.copy_(0.1 * torch.randn_like(policy.obs_normalizer._mean))
        policy.obs_normalizer._std.copy_(0.5 + torch.rand_like(policy.obs_normalizer._std))
    policy.eval()
    runner.export_policy_to_onnx(str(HERE), "walk.onnx")
    attach_metadata_to_onnx(str(HERE / "walk.onnx"), get_base_metadata(env, "lab/walk"))

    robot, term = env.scene["robot"], env.action_manager.get_term("joint_pos")
    act = policy.as_onnx(verbose=False)
    ticks: dict[str, list[np.ndarray]] = {}
    seen, _ = env.reset()
    for _ in range(60):
        now = {
            "observation": seen["actor"],
            "quaternion": robot.data.root_link_quat_w,
            "angular_velocity": robot.data.root_link_ang_vel_b,
            "joint_pos": robot.data.joint_pos,
            "joint_vel": robot.data.joint_vel,
            "command": env.command_manager.get_command("twist"),
        }
        now = {name: value[0].numpy().copy() for name, value in now.items()}
        with torch.no_grad():
            action = act(seen["actor"])
        seen, *_ = env.step(action)
        now |= {
            "action": term.raw_action[0].numpy().copy(),
            "target": term._processed_actions[0].numpy().copy(),
        }
        for name, value in now.items():
            ticks.setdefault(name, []).append(value)
    arrays = {name: np.array(values) for name, values in ticks.items()}
    np.savez_compressed(HERE / "walk.npz", joint_names=np.array(robot.joint_names), **arrays)


if __name__ == "__main__":
    main()
