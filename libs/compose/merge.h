// Several compose files become one: the later file wins, key by key.
//
//   mappings                         merge, key by key
//   command, entrypoint, healthcheck.test, env values, scalars     the later one replaces
//   environment, labels, args, …     as mappings, whether written as list or mapping
//   volumes, devices, tmpfs          by the path inside; ports by all they say; later ones replace
//   other lists                      appended, each value once
//   !reset                           takes away what was there;  !override replaces without merging
//
// Works on trees before anything is decoded, so that every value keeps its file and line.
#pragma once

#include "libs/yaml/node.h"

namespace darse::compose {

// `over` onto `base`; both are roots of compose files.
void MergeFiles(yaml::Node& base, yaml::Node over);

// Applies !reset and !override tags that are still in the tree (a file that is not merged over
// anything).
void DropTags(yaml::Node& node);

}  // namespace darse::compose
