// The sensor board's core on a Cortex-M0 that QEMU emulates (machine microbit). Calls come in frames over its UART, so
// that time is what the caller says it is:
//
//   call     operation, size of the arguments (u16), arguments; little-endian, packed
//   answer   size (u16), bytes; kFault instead of a size: the processor took a fault
//
// emulated_board.py is the other end, host.cpp of the core the same calls on a PC.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "board.hpp"

extern "C" {
extern std::uint32_t linker_stack_bottom, linker_stack_top, linker_data_load, linker_data_begin, linker_data_end,
    linker_bss_begin, linker_bss_end;
[[noreturn]] void reset();
[[noreturn]] void fault();
}

namespace {

using wildrobot::Board;

volatile std::uint32_t& at(std::uint32_t address) { return *reinterpret_cast<volatile std::uint32_t*>(address); }

// Of the nRF51's reference manual.
constexpr std::uint32_t kUart = 0x40002000, kStartRx = 0x000, kStartTx = 0x008, kRxReady = 0x108, kTxReady = 0x11C,
                        kInterruptSet = 0x304, kEnable = 0x500, kRxd = 0x518, kTxd = 0x51C;
constexpr std::uint32_t kUartInterrupt = 1u << 2, kNvicEnable = 0xE000E100, kNvicUnpend = 0xE000E280;
constexpr std::uint32_t kSysTickControl = 0xE000E010, kSysTickReload = 0xE000E014;
constexpr std::uint32_t kPaint = 0xC0DEC0DE;
constexpr std::uint16_t kFault = 0xFFFF;

enum Operation : std::uint8_t {
  kCreate, kReceive, kPoll, kSetImu, kSetFeet, kSetSupply, kSetHardwareError, kReboot, kTakeSave, kRegisters, kAccepted,
  kCrcErrors, kStack, kBoardSize, kUnaligned
};

alignas(Board) std::uint8_t memory[sizeof(Board)];
Board* board = nullptr;
std::uint8_t arguments[2048];
std::size_t taken = 0;

std::uint8_t get() {
  while (at(kUart + kRxReady) == 0) {  // interrupts are masked: a pending one only wakes
    asm volatile("wfi");
    at(kNvicUnpend) = kUartInterrupt;
  }
  at(kUart + kRxReady) = 0;
  return static_cast<std::uint8_t>(at(kUart + kRxd));
}

void put(const void* data, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    at(kUart + kTxReady) = 0;
    at(kUart + kTxd) = static_cast<const std::uint8_t*>(data)[i];
    while (at(kUart + kTxReady) == 0) {
    }
  }
}

void answer(const void* data, std::size_t size) {
  const std::uint16_t said = static_cast<std::uint16_t>(size);
  put(&said, sizeof(said));
  put(data, size);
}

template <typename T>
T take() {
  T value;
  std::memcpy(&value, arguments + taken, sizeof(T));
  taken += sizeof(T);
  return value;
}

// Bytes of the stack that were ever used.
std::uint32_t used_stack() {
  const std::uint32_t* word = &linker_stack_bottom;
  while (word < &linker_stack_top && *word == kPaint) ++word;
  return static_cast<std::uint32_t>((&linker_stack_top - word) * sizeof(std::uint32_t));
}

void paint_stack() {
  const std::uint32_t here = reinterpret_cast<std::uint32_t>(__builtin_frame_address(0)) - 128;
  for (std::uint32_t* word = &linker_stack_bottom; reinterpret_cast<std::uint32_t>(word) < here; ++word) *word = kPaint;
}

void call(std::uint8_t operation, std::size_t size) {
  static std::uint8_t out[4 + wildrobot::kReplySize];
  taken = 0;
  std::size_t answered = 0;
  switch (operation) {
    case kCreate: {
      wildrobot::Config config;
      taken = wildrobot::kEepromSize;
      config.max_baud_rate = take<std::uint8_t>();
      config.broadcast_slot_us = take<std::uint32_t>();
      config.boot_us = take<std::uint32_t>();
      board = new (memory) Board(arguments, config, 0);
      break;
    }
    case kReceive: {
      const std::uint32_t now = take<std::uint32_t>();
      board->receive(arguments + taken, size - taken, now);
      break;
    }
    case kPoll: {
      std::uint32_t start = 0;
      answered = board->poll(take<std::uint32_t>(), out + 4, wildrobot::kReplySize, &start);
      std::memcpy(out, &start, 4);
      answered += 4;
      break;
    }
    case kSetImu: {
      float values[10];
      for (float& value : values) value = take<float>();
      const bool calibrated = take<std::uint8_t>() != 0;
      board->set_imu(values, values + 4, values + 7, calibrated, take<std::uint32_t>());
      break;
    }
    case kSetFeet: {
      float values[4];
      for (float& value : values) value = take<float>();
      board->set_feet(values, take<std::uint32_t>());
      break;
    }
    case kSetSupply: board->set_supply(take<float>()); break;
    case kSetHardwareError: board->set_hardware_error(take<std::uint8_t>()); break;
    case kReboot: board->reboot(take<std::uint32_t>()); break;
    case kTakeSave: out[0] = board->take_save() ? 1 : 0; answered = 1; break;
    case kRegisters:
      std::memcpy(out, board->registers(), wildrobot::table::kSize);
      answered = wildrobot::table::kSize;
      break;
    case kAccepted:
    case kCrcErrors:
    case kStack:
    case kBoardSize: {
      const std::uint32_t value = operation == kAccepted    ? board->parser().accepted()
                                  : operation == kCrcErrors ? board->parser().crc_errors()
                                  : operation == kStack     ? used_stack()
                                                            : sizeof(Board);
      std::memcpy(out, &value, 4);
      answered = 4;
      break;
    }
    case kUnaligned: {  // a word from an odd address: this instruction set has no such thing
      std::uint32_t word;
      asm volatile("ldr %0, [%1]" : "=r"(word) : "r"(memory + 1) : "memory");
      break;
    }
    default: fault();
  }
  answer(out, answered);
}

}  // namespace

extern "C" {

void fault() {
  put(&kFault, sizeof(kFault));
  for (;;) asm volatile("wfi");
}

void reset() {
  asm volatile("cpsid i");
  std::memcpy(&linker_data_begin, &linker_data_load,
              static_cast<std::size_t>(&linker_data_end - &linker_data_begin) * sizeof(std::uint32_t));
  std::memset(&linker_bss_begin, 0,
              static_cast<std::size_t>(&linker_bss_end - &linker_bss_begin) * sizeof(std::uint32_t));
  paint_stack();
  at(kUart + kEnable) = 4;
  at(kUart + kStartRx) = 1;
  at(kUart + kStartTx) = 1;
  at(kUart + kInterruptSet) = kUartInterrupt;  // a byte has come
  at(kNvicEnable) = kUartInterrupt;
  // Bytes that came before the UART was started lie with QEMU until something wakes its main loop: this timer does.
  at(kSysTickReload) = 640000;
  at(kSysTickControl) = 1;
  for (;;) {
    const std::uint8_t operation = get();
    std::size_t size = get();
    size |= static_cast<std::size_t>(get()) << 8;
    if (size > sizeof(arguments)) fault();
    for (std::size_t i = 0; i < size; ++i) arguments[i] = get();
    call(operation, size);
  }
}

// Initial stack pointer, reset, NMI, HardFault; no interrupt is ever taken.
__attribute__((section(".vectors"), used)) const void* const vectors[] = {
    &linker_stack_top, reinterpret_cast<const void*>(&reset), reinterpret_cast<const void*>(&fault),
    reinterpret_cast<const void*>(&fault)};
}
