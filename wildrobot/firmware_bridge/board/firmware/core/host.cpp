// The core as a C library for a host (ctypes). Only this file allocates.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "board.hpp"

using wildrobot::Board;

extern "C" {

void* wr_board_create(const std::uint8_t* eeprom, std::uint8_t max_baud_rate, std::uint32_t broadcast_slot_us,
                      std::uint32_t boot_us) {
  wildrobot::Config config;
  config.max_baud_rate = max_baud_rate;
  config.broadcast_slot_us = broadcast_slot_us;
  config.boot_us = boot_us;
  return new (std::nothrow) Board(eeprom, config, 0);
}

void wr_board_destroy(void* board) { delete static_cast<Board*>(board); }

void wr_board_receive(void* board, const std::uint8_t* bytes, std::size_t size, std::uint32_t now_us) {
  static_cast<Board*>(board)->receive(bytes, size, now_us);
}

std::size_t wr_board_poll(void* board, std::uint32_t now_us, std::uint8_t* out, std::size_t capacity,
                          std::uint32_t* start_us) {
  return static_cast<Board*>(board)->poll(now_us, out, capacity, start_us);
}

void wr_board_set_imu(void* board, const float* quaternion_wxyz, const float* gyro_rad_s,
                      const float* acceleration_m_s2, int calibrated, std::uint32_t now_us) {
  static_cast<Board*>(board)->set_imu(quaternion_wxyz, gyro_rad_s, acceleration_m_s2, calibrated != 0, now_us);
}

void wr_board_set_feet(void* board, const float* force_n, std::uint32_t now_us) {
  static_cast<Board*>(board)->set_feet(force_n, now_us);
}

void wr_board_set_supply(void* board, float volt) { static_cast<Board*>(board)->set_supply(volt); }

void wr_board_set_hardware_error(void* board, std::uint8_t bits) {
  static_cast<Board*>(board)->set_hardware_error(bits);
}

void wr_board_reboot(void* board, std::uint32_t now_us) { static_cast<Board*>(board)->reboot(now_us); }

int wr_board_take_save(void* board) { return static_cast<Board*>(board)->take_save() ? 1 : 0; }

// The whole table as it stands, without a latch; `out` holds table::kSize bytes.
void wr_board_registers(const void* board, std::uint8_t* out) {
  std::memcpy(out, static_cast<const Board*>(board)->registers(), wildrobot::table::kSize);
}

std::uint32_t wr_board_accepted(const void* board) { return static_cast<const Board*>(board)->parser().accepted(); }

std::uint32_t wr_board_crc_errors(const void* board) { return static_cast<const Board*>(board)->parser().crc_errors(); }

}  // extern "C"
