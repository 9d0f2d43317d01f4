// Ids that make a retry safe: a service that has seen one answers as it did then.
#pragma once

#include <string>

namespace darse::client {

// 32 random hex digits.
std::string NewRequestId();

}  // namespace darse::client
