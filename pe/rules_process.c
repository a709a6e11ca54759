/*
 * The rules of process creation and of the user-mode loader (stages 2 and 3): what is asked of a
 * program, and of the content of an image, once the section object exists. Facts: loader-rules,
 * stages 2 and 3.
 */
#include <inttypes.h>

#include "pe/dirs.h"
#include "pe/rules_internal.h"

#define RULE(name) bool pe_rule_##name(const struct pe_image *image, struct pe_finding *found)

#define LOAD_CONFIG_MIN    0x40u
#define LOAD_CONFIG_MODERN 0x48u
#define COOKIE_UNUSED      0x800u   /* IMAGE_GUARD_SECURITY_COOKIE_UNUSED */
#define MODERN             0x60003u /* the subsystem's version from which more is asked */
#define LOW_END            0x70000000u

static uint64_t image_end(const struct pe_image *image)
{
    return image->h.size_of_image;
}

/* ---- creating the process -------------------------------------------------------------------- */

RULE(exe_not_dll)
{
    return !(image->h.characteristics & IMAGE_FILE_DLL) ||
           pe_broken(found, PE_HEADER_PLACE(image, "Characteristics", characteristics),
                     "the image is a DLL, not a program");
}

RULE(exe_subsystem)
{
    return image->h.subsystem == IMAGE_SUBSYSTEM_WINDOWS_GUI ||
           image->h.subsystem == IMAGE_SUBSYSTEM_WINDOWS_CUI ||
           pe_broken(found, PE_HEADER_PLACE(image, "Subsystem", subsystem), "the subsystem is %u",
                     image->h.subsystem);
}

/* The system's own version, major << 16 | minor; XP's x64 edition is 5.2. */
static uint32_t system_version(const struct pe_image *image)
{
    switch (image->windows) {
    case PE_WINDOWS_XP:
        return image->h.pe32_plus ? 0x50002 : 0x50001;
    case PE_WINDOWS_7:
        return 0x60001;
    default:
        return 0xa0000;
    }
}

static uint32_t subsystem_version(const struct pe_image *image)
{
    return (uint32_t)image->h.major_subsystem_version << 16 | image->h.minor_subsystem_version;
}

RULE(exe_subsystem_version)
{
    uint32_t version = subsystem_version(image);
    return (version >= 0x3000a && version <= system_version(image)) ||
           pe_broken(found,
                     PE_HEADER_PLACE(image, "MajorSubsystemVersion", major_subsystem_version),
                     "the program is for version %u.%u", image->h.major_subsystem_version,
                     image->h.minor_subsystem_version);
}

RULE(exe_load_config)
{
    uint32_t rva = image->h.directory[IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG].rva;
    return rva == 0 || (rva % 4 == 0 && (uint64_t)rva + LOAD_CONFIG_MIN < image_end(image)) ||
           pe_broken(found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, false),
                     "the load configuration lies at 0x%x, SizeOfImage is 0x%x", rva,
                     image->h.size_of_image);
}

RULE(exe_headers_mapped)
{
    uint64_t needed = (uint64_t)image->h.e_lfanew + 0x5d;
    return pe_is_flat(image) || image->h.size_of_headers >= needed ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfHeaders", size_of_headers),
                     "SizeOfHeaders is 0x%x, the NT headers need 0x%" PRIx64,
                     image->h.size_of_headers, needed);
}

/* Where the file holds the byte at `rva`; false for zero fill. Works on a mapped image too. */
static bool file_offset_of(const struct pe_image *image, uint32_t rva, uint64_t *out)
{
    struct pe_section s;
    if (pe_is_flat(image) || rva < image->h.size_of_headers) {
        *out = rva;
        return true;
    }
    if (!pe_section_of_rva(image, rva, &s, NULL) || rva - s.virtual_address >= s.size_of_raw_data)
        return false;
    *out = (uint64_t)s.file_offset + (rva - s.virtual_address);
    return true;
}

RULE(exe_reloc_directory)
{
    const struct pe_directory *dir = &image->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC];
    uint64_t offset;
    if (image->h.number_of_rva_and_sizes < 6 || dir->rva == 0 || dir->size == 0)
        return true;
    return (file_offset_of(image, dir->rva, &offset) && offset + dir->size <= image->file_size) ||
           pe_broken(found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_BASERELOC, false),
                     "the relocation directory (RVA 0x%x, 0x%x bytes) is not in the file", dir->rva,
                     dir->size);
}

/* ---- the user-mode loader -------------------------------------------------------------------- */

/*
 * Where a 64-bit Windows gives 32-bit processes their kernel range, and 64-bit ones theirs. A base
 * of 0x7EFD0000 is honoured on all recorded systems (behaviours, Relocations), so XP's limit is not
 * the 0x70000000 of its model.
 */
bool pe_must_move(const struct pe_image *image)
{
    uint64_t end_of_user_space = image->h.pe32_plus ? 0x800000000000u : 0x80000000u;
    return image->h.image_base == 0 || image->h.image_base >= end_of_user_space;
}

/*
 * Not asked by Windows 7, which takes a SizeOfHeaders of 1 (behaviours, Headers: W7-64); it counts
 * the NT headers and the section table as headers in any case (opt.headers_total).
 */
RULE(headers_probe)
{
    uint64_t size = image->h.size_of_headers;
    return (size > 0x2c && size + 0x13 < image->file_size) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfHeaders", size_of_headers),
                     "SizeOfHeaders is 0x%" PRIx64 ", the file has 0x%" PRIx64 " bytes", size,
                     image->file_size);
}

RULE(ldr_entry)
{
    uint32_t entry = image->h.address_of_entry_point;
    return entry == 0 || entry >= image->h.size_of_headers ||
           pe_broken(found, PE_HEADER_PLACE(image, "AddressOfEntryPoint", address_of_entry_point),
                     "the entry point is 0x%x, SizeOfHeaders 0x%x", entry,
                     image->h.size_of_headers);
}

/* A program based at 0x7EFD0000 runs on Windows 7 (behaviours, Relocations): what begins above the
 * limit is not asked to end below it. */
RULE(ldr_end)
{
    uint64_t base = image->h.image_base, end = base + image_end(image);
    return pe_must_move(image) || base >= LOW_END || end < LOW_END ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfImage", size_of_image),
                     "the image ends at 0x%" PRIx64, end);
}

RULE(ldr_unmapped_sections)
{
    struct pe_section s;
    if (!pe_must_move(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        uint64_t end = s.virtual_address + pe_section_size(&s);
        if (end > pe_mapped_size(image) && !(s.characteristics & IMAGE_SCN_MEM_WRITE))
            return pe_broken(found, pe_section_place(image, i, PE_AT_CHARACTERISTICS),
                             "section %u ends at 0x%" PRIx64 ", SizeOfImage is 0x%x", i, end,
                             image->h.size_of_image);
    }
    return true;
}

/* What compilers leave in the cookie, for the loader to replace: the facts sheet asks for this
 * value (behaviours, Headers), the model only for a cookie inside of the image. */
static bool cookie_is_fresh(const struct pe_image *image, uint32_t rva, uint64_t *cookie)
{
    *cookie = 0;
    return pe_rva_ptr(image, rva, cookie) &&
           *cookie == (image->h.pe32_plus ? 0x2b992ddfa232u : 0xbb40e64eu);
}

static bool check_cookie(const struct pe_image *image, const struct pe_load_config *config,
                         struct pe_finding *found)
{
    struct pe_place place = pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, false);
    uint64_t cookie;
    uint32_t rva;
    if (config->guard_flags & COOKIE_UNUSED)
        return true;
    if (!pe_va_to_rva(image, config->security_cookie, &rva))
        return pe_broken(found, place,
                         "the security cookie lies at 0x%" PRIx64 ", outside the image",
                         config->security_cookie);
    return cookie_is_fresh(image, rva, &cookie) ||
           pe_broken(found, place, "the security cookie is 0x%" PRIx64 ", not the default value",
                     cookie);
}

RULE(loadcfg_modern)
{
    const struct pe_directory *dir = &image->h.directory[IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG];
    struct pe_place place = pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, false);
    struct pe_load_config config;
    if (subsystem_version(image) < MODERN)
        return true;
    if (dir->rva == 0 || (uint64_t)dir->rva + dir->size > image_end(image) ||
        !pe_load_config_get(image, &config))
        return pe_broken(found, place, "there is no load configuration inside the image");
    place = pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, true);
    if (dir->size < LOAD_CONFIG_MIN || config.size < LOAD_CONFIG_MODERN)
        return pe_broken(found, place,
                         "the load configuration has 0x%x bytes by its directory, 0x%x by itself",
                         dir->size, config.size);
    return check_cookie(image, &config, found);
}

/*
 * Behaviours, DLL loading and Exceptions (hypotheses): the table counts from subsystem version 6.3
 * on, whether or not the image says that it is guarded. GuardFlags say in their top bits how much
 * longer than an RVA an entry is. What reaches out of the image is not read.
 */
RULE(loadcfg_guard_table)
{
    struct pe_load_config config;
    uint32_t rva, before, at;
    if (subsystem_version(image) < MODERN || !pe_load_config_get(image, &config) ||
        !pe_va_to_rva(image, config.guard_cf_function_table, &rva) ||
        !pe_rva_u32(image, rva, &before))
        return true;
    uint64_t next = rva, stride = 4 + (config.guard_flags >> 28);
    /* Zero fill ends the walk like any two alike, so that it is no longer than the file's data. */
    for (uint64_t i = 1; i < config.guard_cf_function_count; i++, before = at) {
        next += stride;
        if (next > UINT32_MAX || !pe_rva_u32(image, (uint32_t)next, &at))
            return true;
        if (at == before)
            return pe_broken(
                found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, false),
                "entry %" PRIu64 " of the table of guarded functions is 0x%x, as the one before it",
                i, at);
    }
    return true;
}

/* IMAGE_DEBUG_DIRECTORY: 28 bytes, SizeOfData at 16, PointerToRawData at 24. */
RULE(debug_low_alignment)
{
    const struct pe_directory *dir = &image->h.directory[IMAGE_DIRECTORY_ENTRY_DEBUG];
    uint32_t count = pe_is_flat(image) ? pe_debug_count(image) : 0, size, pointer;
    for (uint32_t i = 0; i < count && pe_rva_u32(image, dir->rva + i * 28 + 16, &size) &&
                         pe_rva_u32(image, dir->rva + i * 28 + 24, &pointer);
         i++)
        if ((uint64_t)pointer + size > image->file_size)
            return pe_broken(found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_DEBUG, false),
                             "debug entry %u has 0x%x bytes at 0x%x of a file of 0x%" PRIx64, i,
                             size, pointer, image->file_size);
    return true;
}

RULE(cert_inside)
{
    const struct pe_directory *dir = &image->h.directory[IMAGE_DIRECTORY_ENTRY_SECURITY];
    return dir->rva == 0 || (uint64_t)dir->rva + dir->size <= image->file_size ||
           pe_broken(found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_SECURITY, false),
                     "the certificates lie at 0x%x, 0x%x bytes, in a file of 0x%" PRIx64, dir->rva,
                     dir->size, image->file_size);
}

/* By the structure's own size: that of the directory is not looked at (behaviours, Headers). */
RULE(tls_inside)
{
    uint32_t rva = image->h.directory[IMAGE_DIRECTORY_ENTRY_TLS].rva;
    uint32_t size = image->h.pe32_plus ? 40 : 24;
    return rva == 0 || (uint64_t)rva + size <= pe_mapped_size(image) ||
           pe_broken(found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_TLS, false),
                     "the TLS directory lies at 0x%x, SizeOfImage is 0x%x", rva,
                     image->h.size_of_image);
}

RULE(imports_size)
{
    const struct pe_directory *dir = &image->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    return dir->rva == 0 || dir->size != 0 ||
           pe_broken(found, pe_directory_place(image, IMAGE_DIRECTORY_ENTRY_IMPORT, true),
                     "the import directory at 0x%x has size 0", dir->rva);
}
