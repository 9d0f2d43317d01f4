#include "libs/os/idle_memory.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // kernel 5.14; older ones refuse it
#endif

namespace darse {
namespace {

// What is mapped from the file and never written: it comes back as it was at exec.
int AdviseSegments(dl_phdr_info* object, size_t, void* advice) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    uintptr_t end =
        (object->dlpi_addr + segment.p_vaddr + segment.p_memsz + page - 1) & ~(page - 1);
    madvise(reinterpret_cast<void*>(begin), end - begin, *static_cast<int*>(advice));
  }
  return 1;  // the first object is the program; a static one has no other
}

// Deep calls are over; their frames still hold pages. The margin is for this frame and its callees.
void ReleaseStack() {
  constexpr uintptr_t kMargin = 8 << 10, kDeepest = 256 << 10;
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  uintptr_t end = (here - kMargin) & ~(page - 1);
  // Below the part that has ever been used there is no mapping: step up until the kernel agrees.
  for (uintptr_t size = kDeepest; size >= page; size /= 2) {
    if (madvise(reinterpret_cast<void*>(end - size), size, MADV_DONTNEED) == 0) return;
  }
}

}  // namespace

void ReleaseIdleMemory() {
  malloc_trim(0);
  ReleaseStack();
  int advice = MADV_DONTNEED;
  dl_iterate_phdr(AdviseSegments, &advice);
}

void MapProgram() {
  int advice = MADV_POPULATE_READ;
  dl_iterate_phdr(AdviseSegments, &advice);
}

void ShareOneHeap() { mallopt(M_ARENA_MAX, 2); }

}  // namespace darse
