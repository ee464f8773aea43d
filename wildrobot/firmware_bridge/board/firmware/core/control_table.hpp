// Written by python -m wildrobot.firmware_bridge.board.generate from control_table.yaml; change that file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wildrobot {
namespace table {

constexpr std::size_t kSize = 162;
constexpr std::size_t kSampleBegin = 128;
constexpr std::size_t kSampleEnd = 162;

constexpr std::size_t kModelNumber = 0;
constexpr std::size_t kModelInformation = 2;
constexpr std::size_t kFirmwareVersion = 6;
constexpr std::size_t kId = 7;
constexpr std::size_t kBaudRate = 8;
constexpr std::size_t kReturnDelayTime = 9;
constexpr std::size_t kStatusReturnLevel = 68;
constexpr std::size_t kRegisteredInstruction = 69;
constexpr std::size_t kHardwareErrorStatus = 70;
constexpr std::size_t kQuaternion = 128;
constexpr std::size_t kQuaternionCount = 4;
constexpr float kQuaternionCountsPerUnit = 16384.0f;
constexpr std::size_t kAngularVelocity = 136;
constexpr std::size_t kAngularVelocityCount = 3;
constexpr float kAngularVelocityCountsPerUnit = 512.0f;
constexpr std::size_t kAcceleration = 142;
constexpr std::size_t kAccelerationCount = 3;
constexpr float kAccelerationCountsPerUnit = 256.0f;
constexpr std::size_t kFootForce = 148;
constexpr std::size_t kFootForceCount = 4;
constexpr float kFootForceCountsPerUnit = 4.0f;
constexpr std::size_t kSampleCounter = 152;
constexpr std::size_t kSampleAge = 154;
constexpr std::size_t kClock = 156;
constexpr std::size_t kStatus = 160;
constexpr std::size_t kSupplyVoltage = 161;
constexpr float kSupplyVoltageCountsPerUnit = 10.0f;

struct Register {
  std::uint16_t address;
  std::uint8_t size;
  bool writable;
  bool eeprom;
  std::uint32_t initial;
  std::uint8_t min;  // of a writable one, which is one byte
  std::uint8_t max;
};

constexpr Register kRegisters[] = {
    {0, 2, false, false, 22354u, 0, 0},  // model_number
    {2, 4, false, false, 0u, 0, 0},  // model_information
    {6, 1, false, false, 1u, 0, 0},  // firmware_version
    {7, 1, true, true, 200u, 0, 252},  // id
    {8, 1, true, true, 3u, 0, 6},  // baud_rate
    {9, 1, true, true, 0u, 0, 254},  // return_delay_time
    {68, 1, true, false, 2u, 0, 2},  // status_return_level
    {69, 1, false, false, 0u, 0, 0},  // registered_instruction
    {70, 1, false, false, 0u, 0, 0},  // hardware_error_status
    {128, 8, false, false, 0u, 0, 0},  // quaternion
    {136, 6, false, false, 0u, 0, 0},  // angular_velocity
    {142, 6, false, false, 0u, 0, 0},  // acceleration
    {148, 4, false, false, 0u, 0, 0},  // foot_force
    {152, 2, false, false, 0u, 0, 0},  // sample_counter
    {154, 2, false, false, 0u, 0, 0},  // sample_age
    {156, 4, false, false, 0u, 0, 0},  // clock
    {160, 1, false, false, 0u, 0, 0},  // status
    {161, 1, false, false, 0u, 0, 0},  // supply_voltage
};

}  // namespace table
}  // namespace wildrobot
