// The header is C++ as well: C++17, -Wall -Wextra -Werror -pedantic, linked with C linkage.
#include <peerkit.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

static_assert(std::is_same<peerkit_t, std::uint64_t>::value, "a handle is a uint64_t");
static_assert(std::is_same<peerkit_events_t, std::uint64_t>::value, "an events handle is a uint64_t");

int main()
{
    peerkit_t handle = 1;
    char *reply = peerkit_current(&handle);
    const bool failed = std::strncmp(reply, "{\"success\":false", 16) == 0;

    peerkit_string_free(reply);
    peerkit_string_free(nullptr);
    if (!failed || handle != 0 || peerkit_abi_version() == 0 || std::strlen(peerkit_version()) == 0) {
        std::printf("not ok - header.cpp: current, version or abi_version\n");
        return 1;
    }
    std::printf("ok - the header is C++17 and links\n");
    return 0;
}
