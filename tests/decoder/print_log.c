/* Prints messages of a log with what lcm-gen makes of the .lcm files, and LCM's own reader of event logs; nothing of
 * WildRobot's is used. One line for each message on a known channel: channel, tick, values.
 *
 *     print_log LOG
 */
#include <lcm/lcm.h>
#include <stdio.h>
#include <string.h>

#include "wildrobot_lcm_policy_state_t.h"
#include "wildrobot_lcm_robot_command_t.h"
#include "wildrobot_lcm_robot_event_t.h"
#include "wildrobot_lcm_robot_health_t.h"
#include "wildrobot_lcm_robot_state_t.h"
#include "wildrobot_lcm_run_configuration_t.h"

static void print_doubles(const double *values, int count)
{
    for (int i = 0; i < count; i++)
        printf(" %.17g", values[i]);
}

static void print_floats(const float *values, int count)
{
    for (int i = 0; i < count; i++)
        printf(" %.17g", values[i]);
}

/* Declares a message of a type and decodes the event into it, or fails the whole program. */
#define DECODE(type, message)                                                                      \
    type message;                                                                                  \
    if (type##_decode(event->data, 0, event->datalen, &message) != event->datalen) {              \
        fprintf(stderr, "%s: not a " #type "\n", event->channel);                                  \
        return 1;                                                                                  \
    }

/* The kind of a channel: robot_state of alice/robot_state. */
static const char *kind_of(const char *channel)
{
    const char *slash = strrchr(channel, '/');
    return slash ? slash + 1 : channel;
}

static int print_event(const lcm_eventlog_event_t *event)
{
    const char *kind = kind_of(event->channel);
    if (!strcmp(kind, "robot_state")) {
        DECODE(wildrobot_lcm_robot_state_t, m)
        printf("robot_state %lld %s", (long long) m.tick, m.state);
        print_doubles(m.joint_position, m.num_joints);
        print_doubles(m.imu_quaternion, 4);
        print_doubles(m.foot_contact, m.num_feet);
        printf(" %d\n", m.imu_valid);
        wildrobot_lcm_robot_state_t_decode_cleanup(&m);
    } else if (!strcmp(kind, "policy_state")) {
        DECODE(wildrobot_lcm_policy_state_t, m)
        printf("policy_state %lld %d", (long long) m.tick, m.reset);
        print_doubles(m.features, m.num_features);
        print_floats(m.action, m.num_joints);
        printf("\n");
        wildrobot_lcm_policy_state_t_decode_cleanup(&m);
    } else if (!strcmp(kind, "robot_command")) {
        DECODE(wildrobot_lcm_robot_command_t, m)
        printf("robot_command %lld %s", (long long) m.tick, m.state);
        print_doubles(m.joint_target_applied, m.num_joints);
        printf(" %.17g\n", m.torque_gain);
        wildrobot_lcm_robot_command_t_decode_cleanup(&m);
    } else if (!strcmp(kind, "robot_health")) {
        DECODE(wildrobot_lcm_robot_health_t, m)
        printf("robot_health %lld %d", (long long) m.tick, m.num_guards);
        for (int i = 0; i < m.num_guards; i++)
            printf(" %s=%.17g", m.guard_name[i], m.guard_value[i]);
        printf("\n");
        wildrobot_lcm_robot_health_t_decode_cleanup(&m);
    } else if (!strcmp(kind, "robot_event")) {
        DECODE(wildrobot_lcm_robot_event_t, m)
        printf("robot_event %lld %d %s: %s\n", (long long) m.tick, m.severity, m.name, m.text);
        wildrobot_lcm_robot_event_t_decode_cleanup(&m);
    } else if (!strcmp(kind, "run_configuration")) {
        DECODE(wildrobot_lcm_run_configuration_t, m)
        printf("run_configuration 0 %s %s %zu\n", m.robot, m.robot_hash, strlen(m.json));
        wildrobot_lcm_run_configuration_t_decode_cleanup(&m);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: print_log LOG\n");
        return 2;
    }
    lcm_eventlog_t *log = lcm_eventlog_create(argv[1], "r");
    if (!log) {
        fprintf(stderr, "cannot read %s\n", argv[1]);
        return 2;
    }
    int failed = 0;
    for (lcm_eventlog_event_t *event; !failed && (event = lcm_eventlog_read_next_event(log));) {
        failed = print_event(event);
        lcm_eventlog_free_event(event);
    }
    lcm_eventlog_destroy(log);
    return failed;
}
