/*
 * See os.h. Sources: the PE specification (Win32VersionValue's neighbours, the load configuration),
 * the documentation of GetVersion for the parts of the value, of gflags for the global flags.
 *
 * The value's parts are those that GetVersion returns: major in the low byte, minor above, 14 bits
 * of build, and the platform in two bits that are the inverse of VER_PLATFORM_WIN32_NT's.
 */
#include "loader/ke/os.h"

#include "loader/ke/teb.h"
#include "loader/mm/section.h"
#include "pe/dirs.h"

enum { VER_PLATFORM_WIN32_NT = 2 };

const struct ke_os *ke_os(void)
{
    static const struct ke_os xp = {KE_BY_WORD(5, 5), KE_BY_WORD(2, 1), KE_BY_WORD(3790, 2600),
                                    KE_BY_WORD(0x200, 0x300)},
                              seven = {6, 1, 7601, 0x100}, ten = {10, 0, 19045, 0};
    switch (mm_windows()) {
    case PE_WINDOWS_XP:
        return &xp;
    case PE_WINDOWS_7:
        return &seven;
    default:
        return &ten;
    }
}

/* "Service Pack 1", or nothing. Several threads would write the same. */
static void show_service_pack(struct ke_peb *peb, uint16_t version)
{
    static uint16_t text[] = u"Service Pack 0";
    const uint16_t units = sizeof(text) / sizeof(*text) - 1;
    uint16_t number = version >> 8;
    peb->OSCSDVersion = version;
    text[units - 1] = (uint16_t)(u'0' + (number <= 9 ? number : 9));
    peb->CSDVersion = (struct ke_unicode_string){
        .Length = number ? (uint16_t)(units * sizeof(*text)) : 0,
        .MaximumLength = sizeof(text),
        .Buffer = text,
    };
}

void ke_os_show(struct ke_peb *peb)
{
    const struct ke_os *os = ke_os();
    peb->OSMajorVersion = os->major;
    peb->OSMinorVersion = os->minor;
    peb->OSBuildNumber = os->build;
    peb->OSPlatformId = VER_PLATFORM_WIN32_NT;
    show_service_pack(peb, os->service_pack);
}

static void override_version(struct ke_peb *peb, uint32_t value, uint16_t service_pack)
{
    if (value == 0)
        return;
    peb->OSMajorVersion = value & 0xFF;
    peb->OSMinorVersion = value >> 8 & 0xFF;
    peb->OSBuildNumber = value >> 16 & 0x3FFF;
    peb->OSPlatformId = value >> 30 ^ VER_PLATFORM_WIN32_NT;
    if (service_pack)
        show_service_pack(peb, service_pack);
}

void ke_os_override(struct ke_peb *peb, const struct pe_image *program)
{
    struct pe_load_config config = {0};
    bool has_config = pe_load_config_get(program, &config);
    override_version(peb, program->h.win32_version_value, config.csd_version);
    if (!has_config)
        return;
    peb->NtGlobalFlag = (peb->NtGlobalFlag & ~config.global_flags_clear) | config.global_flags_set;
    if (config.critical_section_default_timeout) /* milliseconds */
        peb->CriticalSectionTimeout =
            -(int64_t)config.critical_section_default_timeout * INT64_C(10000);
    if (config.de_commit_free_block_threshold)
        peb->HeapDeCommitFreeBlockThreshold = (uintptr_t)config.de_commit_free_block_threshold;
    if (config.de_commit_total_free_threshold)
        peb->HeapDeCommitTotalFreeThreshold = (uintptr_t)config.de_commit_total_free_threshold;
}
