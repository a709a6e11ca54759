/*
 * The Windows version and comparisons with it (VerifyVersionInfo's documentation).
 */
#include "loader/win32/version.h"

#include <string.h>

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
    VER_NT_WORKSTATION = 1,
    VER_SUITE_SINGLEUSERTS = 0x100,
};

enum { VER_EQUAL = 1, VER_GREATER, VER_GREATER_EQUAL, VER_LESS, VER_LESS_EQUAL, VER_AND, VER_OR };

bool win32_get_version(struct win32_version_info *out)
{
    DWORD size = out->size;
    if (size != WIN32_VERSION_INFO_SHORT && size != sizeof(*out))
        return false;
    memset(out, 0, size);
    out->size = size;
    out->major = WIN32_MAJOR;
    out->minor = WIN32_MINOR;
    out->build = WIN32_BUILD;
    out->platform = WIN32_PLATFORM_NT;
    if (size == sizeof(*out)) {
        out->suite_mask = VER_SUITE_SINGLEUSERTS;
        out->product_type = VER_NT_WORKSTATION;
    }
    return true;
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
    const struct {
        int bit;
        uint32_t have, want;
    } parts[] = {
        {1, WIN32_MAJOR, wanted->major},
        {0, WIN32_MINOR, wanted->minor},
        {5, 0, wanted->service_pack_major},
        {4, 0, wanted->service_pack_minor},
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
    const struct {
        int bit;
        uint32_t have, want;
    } others[] = {
        {2, WIN32_BUILD, wanted->build},
        {3, WIN32_PLATFORM_NT, wanted->platform},
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
