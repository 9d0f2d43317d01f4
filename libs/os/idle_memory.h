// Gives memory back while nothing happens: who waits for days and works for milliseconds need not
// hold what the work took.
#pragma once

namespace darse {

// Unmaps the program's own code and constants (they are read again from the page cache when
// needed), what malloc holds free, and the unused part of the stack. Any thread, any time.
void ReleaseIdleMemory();

// For main(), before there are threads: a heap for all of them instead of one each.
void ShareOneHeap();

// Maps all of the program's own code and constants, so that nobody waits for it page by page later.
void MapProgram();

}  // namespace darse
