// A stand-in for the FlashStorage library.
#pragma once

#include <cstring>

template <typename T>
struct FakeFlash {
  T content;
  int writes = 0;
  FakeFlash() { std::memset(static_cast<void*>(&content), 0, sizeof(T)); }
  void read(T* data) { *data = content; }
  void write(T data) {
    content = data;
    ++writes;
  }
};
#define FlashStorage(name, T) FakeFlash<T> name
