// Gives memory back while nothing happens: a shim waits for days and works for milliseconds.
#pragma once

namespace darse::shim {

// Unmaps the program's own code and constants (they are read again from the page cache when
// needed), what malloc holds free, and the unused part of the stack.
void ReleaseIdleMemory();

}  // namespace darse::shim
