// A stand-in for the Arduino core: enough to compile the sketch on a PC and to look at what it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

using std::size_t;

enum { LOW = 0, HIGH = 1, INPUT = 0, OUTPUT = 1 };
constexpr std::uint8_t A1 = 16, A2 = 17, A3 = 18, A4 = 19, A5 = 20;

struct FakeHardware {
  std::uint32_t now_us = 0;
  int analog[32] = {};
  int digital[32] = {};
  int analog_bits = 10;
  int resets = 0;
};
static FakeHardware hardware;

inline std::uint32_t micros() { return hardware.now_us; }
inline void pinMode(std::uint8_t, int) {}
inline void digitalWrite(std::uint8_t pin, int value) { hardware.digital[pin] = value; }
inline int digitalRead(std::uint8_t pin) { return hardware.digital[pin]; }
inline void analogReadResolution(int bits) { hardware.analog_bits = bits; }
inline int analogRead(std::uint8_t pin) { return hardware.analog[pin]; }
inline void NVIC_SystemReset() { ++hardware.resets; }

struct FakeSerial {
  std::deque<std::uint8_t> incoming;
  std::vector<std::uint8_t> outgoing;
  unsigned long baud = 0;
  bool echo = false;

  void begin(unsigned long rate) { baud = rate; }
  void end() { baud = 0; }
  int available() { return static_cast<int>(incoming.size()); }
  int read() {
    const int byte = incoming.front();
    incoming.pop_front();
    return byte;
  }
  size_t write(const std::uint8_t* data, size_t size) {
    outgoing.insert(outgoing.end(), data, data + size);
    if (echo) incoming.insert(incoming.end(), data, data + size);
    return size;
  }
  void flush() {}
};
static FakeSerial Serial1;
