#pragma once

namespace darse::client {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace darse::client
