/* See flags.h. */
#include "tools/flags.h"

#include "reloc/reloc.h"

const struct flag_name file_flags[] = {{0x0001, "RELOCS_STRIPPED"},
                                       {0x0002, "EXECUTABLE_IMAGE"},
                                       {0x0004, "LINE_NUMS_STRIPPED"},
                                       {0x0008, "LOCAL_SYMS_STRIPPED"},
                                       {0x0020, "LARGE_ADDRESS_AWARE"},
                                       {0x0100, "32BIT_MACHINE"},
                                       {0x0200, "DEBUG_STRIPPED"},
                                       {0x0400, "REMOVABLE_RUN_FROM_SWAP"},
                                       {0x0800, "NET_RUN_FROM_SWAP"},
                                       {0x1000, "SYSTEM"},
                                       {0x2000, "DLL"},
                                       {0x4000, "UP_SYSTEM_ONLY"},
                                       {0}};

const struct flag_name dll_flags[] = {
    {0x0020, "HIGH_ENTROPY_VA"}, {0x0040, "DYNAMIC_BASE"},          {0x0080, "FORCE_INTEGRITY"},
    {0x0100, "NX_COMPAT"},       {0x0200, "NO_ISOLATION"},          {0x0400, "NO_SEH"},
    {0x0800, "NO_BIND"},         {0x1000, "APPCONTAINER"},          {0x2000, "WDM_DRIVER"},
    {0x4000, "GUARD_CF"},        {0x8000, "TERMINAL_SERVER_AWARE"}, {0}};

const struct flag_name section_flags[] = {{0x00000020, "CNT_CODE"},
                                          {0x00000040, "CNT_INITIALIZED_DATA"},
                                          {0x00000080, "CNT_UNINITIALIZED_DATA"},
                                          {0x02000000, "MEM_DISCARDABLE"},
                                          {0x04000000, "MEM_NOT_CACHED"},
                                          {0x08000000, "MEM_NOT_PAGED"},
                                          {0x10000000, "MEM_SHARED"},
                                          {0x20000000, "MEM_EXECUTE"},
                                          {0x40000000, "MEM_READ"},
                                          {0x80000000u, "MEM_WRITE"},
                                          {0}};

json_t *flags_json(const struct flag_name *names, uint32_t value)
{
    json_t *array = json_array();
    for (; names->name; names++)
        if (value & names->value)
            json_array_append_new(array, json_string(names->name));
    return array;
}

json_t *fixups_json(const uint32_t *fixups, uint16_t machine)
{
    json_t *o = json_object();
    for (uint8_t type = 0; type < RELOC_TYPE_COUNT; type++)
        if (fixups[type])
            json_object_set_new(o, reloc_type_name(machine, type), json_integer(fixups[type]));
    return o;
}

const char *directory_name(unsigned index)
{
    static const char *const names[] = {
        "export", "import",       "resource",       "exception", "security",    "base_relocation",
        "debug",  "architecture", "global_ptr",     "tls",       "load_config", "bound_import",
        "iat",    "delay_import", "com_descriptor", "reserved"};
    return index < sizeof names / sizeof *names ? names[index] : "unknown";
}

const char *subsystem_name(uint16_t subsystem)
{
    static const char *const names[] = {"unknown",
                                        "native",
                                        "windows_gui",
                                        "windows_cui",
                                        NULL,
                                        "os2_cui",
                                        NULL,
                                        "posix_cui",
                                        "native_windows",
                                        "windows_ce_gui",
                                        "efi_application",
                                        "efi_boot_service_driver",
                                        "efi_runtime_driver",
                                        "efi_rom",
                                        "xbox",
                                        NULL,
                                        "windows_boot_application"};
    const char *name = subsystem < sizeof names / sizeof *names ? names[subsystem] : NULL;
    return name ? name : "unknown";
}
