// The client asks for few of its messages' descriptors, and mostly for none; registering all of
// them took a good part of its start. With the linker's --wrap (BUILD.bazel) each file's
// registration at start ends here instead, and is made up for by protobuf when the first descriptor
// of the file is asked for (AssignDescriptors).
extern "C" {
void __wrap__ZN6google8protobuf8internal20AddDescriptorsRunnerC1EPKNS1_15DescriptorTableE(
    void* /*runner*/, const void* /*table*/) {}
void __wrap__ZN6google8protobuf8internal20AddDescriptorsRunnerC2EPKNS1_15DescriptorTableE(
    void* /*runner*/, const void* /*table*/) {}
}
