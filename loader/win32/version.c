/*
 * The Windows version and comparisons with it (VerifyVersionInfo's documentation).
 */
#include "loader/win32/version.h"

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/errors.h"

enum {
    VER_MINORVERSION = 0x1,
    VER_MAJORVERSION = 0x2,
    VER_BUILDNUMBER = 0x4,
    VER_PLATFORMID = 0x8,
    VER_SERVICEPACKMINOR = 0x10,
    VER_SERVICEPACKMAJOR = 0x20,
    VER_SUITENAME = 0x40,
    VER_PRODUCT_TYPE = 0x80,
    VER_PLATFORM_WIN32_NT = 2,
    VER_NT_WORKSTATION = 1,
    VER_SUITE_SINGLEUSERTS = 0x100,
};

enum { VER_EQUAL = 1, VER_GREATER, VER_GREATER_EQUAL, VER_LESS, VER_LESS_EQUAL, VER_AND, VER_OR };

bool win32_get_version(struct win32_version_info *out)
{
    DWORD size = out->size;
    if (size != WIN32_VERSION_INFO_SHORT && size != sizeof(*out))
        return false;
    const struct ke_peb *peb = ke_peb();
    memset(out, 0, size);
    out->size = size;
    out->major = peb->OSMajorVersion;
    out->minor = peb->OSMinorVersion;
    out->build = peb->OSBuildNumber;
    out->platform = peb->OSPlatformId;
    memcpy(out->service_pack, peb->CSDVersion.Buffer, peb->CSDVersion.Length);
    if (size == sizeof(*out)) {
        out->service_pack_major = peb->OSCSDVersion >> 8;
        out->service_pack_minor = peb->OSCSDVersion & 0xFF;
        out->suite_mask = VER_SUITE_SINGLEUSERTS;
        out->product_type = VER_NT_WORKSTATION;
    }
    return true;
}

DWORD win32_version_number(void)
{
    const struct ke_peb *peb = ke_peb();
    return (peb->OSPlatformId ^ VER_PLATFORM_WIN32_NT) << 30 | (DWORD)peb->OSBuildNumber << 16 |
           peb->OSMinorVersion << 8 | peb->OSMajorVersion;
}

/* Three bits of condition for each bit of the type mask. */
ULONGLONG win32_condition_mask(ULONGLONG mask, DWORD type_mask, BYTE condition)
{
    for (int bit = 0; bit < 8; bit++) {
        if (type_mask & (1u << bit))
            mask |= (ULONGLONG)(condition & 7) << (3 * bit);
    }
    return mask;
}

static unsigned condition_of(ULONGLONG mask, int bit)
{
    return (unsigned)(mask >> (3 * bit)) & 7;
}

static bool holds(unsigned condition, uint32_t have, uint32_t wanted)
{
    switch (condition) {
    case VER_EQUAL:
        return have == wanted;
    case VER_GREATER:
        return have > wanted;
    case VER_GREATER_EQUAL:
        return have >= wanted;
    case VER_LESS:
        return have < wanted;
    case VER_LESS_EQUAL:
        return have <= wanted;
    case VER_AND:
        return (have & wanted) == wanted;
    default:
        return (have & wanted) != 0 || !wanted;
    }
}

/*
 * Major, minor and service pack count as one number: the condition of the first one in that order
 * decides unless the numbers are equal.
 */
static bool hierarchy_holds(const struct win32_version_info *wanted, DWORD type_mask,
                            ULONGLONG conditions)
{
    struct win32_version_info now = {.size = sizeof(now)};
    win32_get_version(&now);
    const struct {
        int bit;
        uint32_t have, want;
    } parts[] = {
        {1, now.major, wanted->major},
        {0, now.minor, wanted->minor},
        {5, now.service_pack_major, wanted->service_pack_major},
        {4, now.service_pack_minor, wanted->service_pack_minor},
    };
    unsigned condition = 0;
    for (size_t i = 0; i < 4; i++) {
        if (!(type_mask & (1u << parts[i].bit)))
            continue;
        if (!condition)
            condition = condition_of(conditions, parts[i].bit);
        if (parts[i].have != parts[i].want)
            return holds(condition, parts[i].have, parts[i].want);
    }
    return !condition || holds(condition, 0, 0);
}

uint32_t win32_verify_version(const struct win32_version_info *wanted, DWORD type_mask,
                              ULONGLONG conditions)
{
    struct win32_version_info now = {.size = sizeof(now)};
    win32_get_version(&now);
    const struct {
        int bit;
        uint32_t have, want;
    } others[] = {
        {2, now.build, wanted->build},
        {3, now.platform, wanted->platform},
        {6, VER_SUITE_SINGLEUSERTS, wanted->suite_mask},
        {7, VER_NT_WORKSTATION, wanted->product_type},
    };
    DWORD known = 0xFF;
    if (!(type_mask & known) || !conditions)
        return ERROR_BAD_ARGUMENTS;
    for (int bit = 0; bit < 8; bit++) {
        if ((type_mask & (1u << bit)) && !condition_of(conditions, bit))
            return ERROR_BAD_ARGUMENTS;
    }
    for (size_t i = 0; i < 4; i++) {
        if ((type_mask & (1u << others[i].bit)) &&
            !holds(condition_of(conditions, others[i].bit), others[i].have, others[i].want))
            return ERROR_OLD_WIN_VERSION;
    }
    return hierarchy_holds(wanted, type_mask, conditions) ? ERROR_SUCCESS : ERROR_OLD_WIN_VERSION;
}
