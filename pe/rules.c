/*
 * The rule table, and asking it (rules.h).
 *
 * Rows stand in the order in which Windows asks; abbreviations as in the facts sheet: a
 * page-aligned image has a SectionAlignment of at least a page, a low-alignment (flat) one has not.
 * Two things that the sheet lists are no rows because nothing can break them: sections.raw_zero
 * says how a field is read (rules_section.c), ldr.must_move that an image moves (pe_must_move).
 */
#include "pe/rules_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define XP             PE_WINDOWS_XP
#define W7             PE_WINDOWS_7
#define W10            PE_WINDOWS_10
#define ALL            PE_WINDOWS_ALL
#define P32            PE_FORMAT_32
#define ANY            PE_FORMAT_ANY
#define PROG           PE_ROLE_PROGRAM
#define BOTH           PE_ROLE_ANY
#define FORMAT(status) STATUS_INVALID_IMAGE_##status

#define SECTION_RULE(id, windows, status, text, name)                          \
    {                                                                          \
        id, windows, ANY, PE_STAGE_SECTION, BOTH, status, text, pe_rule_##name \
    }
#define PROCESS_RULE(id, windows, text, name)                                          \
    {                                                                                  \
        id, windows, ANY, PE_STAGE_PROCESS, PROG, FORMAT(FORMAT), text, pe_rule_##name \
    }
#define LOADER_RULE(id, windows, formats, roles, text, name)                               \
    {                                                                                      \
        id, windows, formats, PE_STAGE_LOADER, roles, FORMAT(FORMAT), text, pe_rule_##name \
    }
#define MOVE_RULE(id, windows, status, text)                      \
    {                                                             \
        id, windows, ANY, PE_STAGE_MOVE, BOTH, status, text, NULL \
    }

const struct pe_rule pe_rules[] = {
    SECTION_RULE("file.size", W10, STATUS_INVALID_FILE_FOR_SECTION, "the file is under 4 GiB",
                 file_size),
    SECTION_RULE("dos.magic", ALL, FORMAT(NOT_MZ), "the file begins with MZ", dos_magic),
    SECTION_RULE("dos.lfanew.range", ALL, FORMAT(PROTECT),
                 "the NT headers at e_lfanew lie in the file", lfanew_range),
    SECTION_RULE("dos.lfanew.last_page", W10, FORMAT(PROTECT),
                 "NT headers that reach past the file's last whole page end in the first page",
                 lfanew_last_page),
    SECTION_RULE("dos.lfanew.aligned", ALL, FORMAT(PROTECT), "e_lfanew is a multiple of 4",
                 lfanew_aligned),
    SECTION_RULE("nt.signature", ALL, FORMAT(PROTECT), "the NT headers begin with PE\\0\\0",
                 nt_signature),
    SECTION_RULE("nt.not_empty", ALL, FORMAT(FORMAT),
                 "Machine and SizeOfOptionalHeader are not both 0", nt_not_empty),
    SECTION_RULE("nt.executable", ALL, FORMAT(FORMAT), "Characteristics has EXECUTABLE_IMAGE",
                 nt_executable),
    SECTION_RULE("opt.magic", ALL, FORMAT(FORMAT),
                 "the magic is that of PE32 or PE32+ and agrees with a known Machine", opt_magic),
    SECTION_RULE("opt.file_alignment", ALL, FORMAT(FORMAT),
                 "FileAlignment is a power of two, and a multiple of 0x200 or equal to "
                 "SectionAlignment",
                 opt_file_alignment),
    SECTION_RULE("opt.section_alignment", ALL, FORMAT(FORMAT),
                 "SectionAlignment is a power of two and not below FileAlignment",
                 opt_section_alignment),
    SECTION_RULE("opt.size_of_image", ALL, FORMAT(FORMAT),
                 "SizeOfImage is not 0 and, in PE32, at most 0x77000000", opt_size_of_image),
    SECTION_RULE("opt.size_of_headers", ALL, FORMAT(FORMAT),
                 "SizeOfHeaders is below SizeOfImage and not 0 in a page-aligned image",
                 opt_size_of_headers),
    SECTION_RULE("opt.image_base", ALL, FORMAT(FORMAT), "ImageBase is a multiple of 64 KiB",
                 opt_image_base),
    SECTION_RULE("opt.headers_total", W7, FORMAT(FORMAT),
                 "SizeOfHeaders, and NT headers with the section table, are smaller than "
                 "SizeOfImage",
                 opt_headers_total_7),
    SECTION_RULE("opt.headers_total", W10, FORMAT(FORMAT),
                 "NT headers and section table are smaller than SizeOfImage and lie in the file",
                 opt_headers_total_10),
    SECTION_RULE("sections.count_max", XP, FORMAT(FORMAT), "there are at most 96 PE sections",
                 sections_count_max),
    SECTION_RULE("sections.table.file", ALL, FORMAT(FORMAT), "the section table lies in the file",
                 sections_table_file),
    SECTION_RULE("sections.table.page", W10, FORMAT(FORMAT),
                 "the section table ends within one page after the page in which it begins",
                 sections_table_page),
    SECTION_RULE("opt.headers_pages", ALL, FORMAT(FORMAT),
                 "SizeOfHeaders, rounded up to SectionAlignment, fits SizeOfImage",
                 opt_headers_pages),
    SECTION_RULE("la.machine", W10, FORMAT(FORMAT),
                 "an image with SectionAlignment below a page is for x86 or x86-64", la_machine),
    SECTION_RULE("sections.some", ALL, FORMAT(FORMAT), "a page-aligned image has a PE section",
                 sections_some),
    SECTION_RULE("sections.contiguous", ALL, FORMAT(FORMAT),
                 "each PE section begins exactly where the one before it, or the headers, ended",
                 sections_contiguous),
    SECTION_RULE("sections.not_empty", ALL, FORMAT(FORMAT),
                 "no PE section of a page-aligned image is empty", sections_not_empty),
    SECTION_RULE("sections.fit", ALL, FORMAT(FORMAT),
                 "the PE sections fit SizeOfImage and leave less than one SectionAlignment of it",
                 sections_fit),
    SECTION_RULE("sections.no_wrap", ALL, FORMAT(FORMAT),
                 "no PE section's virtual or raw extent wraps 32 bits", sections_no_wrap),
    SECTION_RULE("sections.raw_in_file", W7, FORMAT(FORMAT),
                 "the raw data of every PE section begins in the file", sections_raw_in_file),
    SECTION_RULE("sections.last_raw", ALL, FORMAT(FORMAT),
                 "the last PE section's raw data lies in the file", sections_last_raw),
    SECTION_RULE("la.flat", ALL, FORMAT(FORMAT),
                 "with SectionAlignment below a page, PE sections lie where they lie in the file",
                 la_flat),

    PROCESS_RULE("exe.not_dll", XP | W10, "a program is no DLL", exe_not_dll),
    PROCESS_RULE("exe.subsystem", ALL, "a program's subsystem is 2 (GUI) or 3 (console)",
                 exe_subsystem),
    PROCESS_RULE("exe.subsystem_version", ALL,
                 "a program's subsystem version is at least 3.10 and at most that of the system",
                 exe_subsystem_version),
    PROCESS_RULE("exe.load_config", XP | W10,
                 "a program's load configuration lies at a multiple of 4 and 0x40 bytes before the "
                 "end of the image",
                 exe_load_config),
    PROCESS_RULE("exe.headers_mapped", W10,
                 "SizeOfHeaders covers the NT headers as far as the user mode reads them",
                 exe_headers_mapped),
    PROCESS_RULE("exe.reloc_directory", W10, "a program's relocation directory lies in the file",
                 exe_reloc_directory),

    LOADER_RULE("headers.probe", XP | W10, ANY, PROG,
                "SizeOfHeaders is above 0x2c and ends 0x14 bytes before the end of the file",
                headers_probe),
    LOADER_RULE("ldr.entry", W10, ANY, PROG, "the entry point is 0 or lies behind the headers",
                ldr_entry),
    LOADER_RULE("ldr.end", W7, P32, PROG,
                "an image that begins below 0x70000000 and does not move ends below it", ldr_end),
    LOADER_RULE("ldr.unmapped_sections", W7 | W10, ANY, BOTH,
                "a PE section of a moving image that reaches beyond SizeOfImage is writable",
                ldr_unmapped_sections),
    LOADER_RULE("loadcfg.modern", W10, ANY, PROG,
                "a program for Windows 6.3 or later has a load configuration of 0x48 bytes with a "
                "security cookie of the default value inside the image",
                loadcfg_modern),
    LOADER_RULE(
        "loadcfg.guard_table", W10, ANY, BOTH,
        "the table of guarded functions of an image for Windows 6.3 or later names none twice "
        "in a row",
        loadcfg_guard_table),
    LOADER_RULE("debug.low_alignment", ALL, ANY, PROG,
                "with SectionAlignment below a page, debug data lies in the file",
                debug_low_alignment),
    LOADER_RULE("cert.inside", W7 | W10, ANY, PROG, "the certificate table lies in the file",
                cert_inside),
    LOADER_RULE("tls.inside", ALL, ANY, BOTH, "the TLS directory lies inside the image",
                tls_inside),
    LOADER_RULE("imports.size", W10, ANY, BOTH, "an import directory has a size", imports_size),

    MOVE_RULE("reloc.stripped", ALL, STATUS_CONFLICTING_ADDRESSES,
              "an image that has to move says nothing of stripped relocations, or has some"),
    MOVE_RULE("reloc.blocks", ALL, FORMAT(FORMAT),
              "fixup blocks add up to the relocation directory and end with an entry"),
    MOVE_RULE("reloc.types", W10, FORMAT(FORMAT),
              "fixups have a type that the machine knows (x86: 0-4 and 10)"),
    MOVE_RULE("reloc.types", XP | W7, FORMAT(FORMAT),
              "fixups have a type that the machine knows (x86: 0-10, not 8)"),
    MOVE_RULE("reloc.inside", ALL, FORMAT(FORMAT), "every fixup lies inside the image"),
    MOVE_RULE("reloc.headers", W7, FORMAT(FORMAT),
              "no fixup changes a signature in the headers, or e_lfanew of a page-aligned image"),
    MOVE_RULE("reloc.headers", W10, FORMAT(FORMAT),
              "no fixup changes a signature in the headers, or e_lfanew"),
};
const uint32_t pe_rule_count = PE_ARRAY_SIZE(pe_rules);

/* ---- findings -------------------------------------------------------------------------------- */

struct pe_place pe_section_place(const struct pe_image *image, uint32_t index,
                                 enum pe_section_field field)
{
    struct pe_section_table t = pe_section_table(image);
    uint64_t offset = t.offset + (uint64_t)index * PE_SECTION_HEADER_SIZE + field;
    const char *name = field == PE_AT_VIRTUAL_SIZE      ? "VirtualSize"
                       : field == PE_AT_VIRTUAL_ADDRESS ? "VirtualAddress"
                       : field == PE_AT_RAW_SIZE        ? "SizeOfRawData"
                       : field == PE_AT_RAW_POINTER     ? "PointerToRawData"
                                                        : "Characteristics";
    uint32_t value = 0;
    pe_u32(t.bytes, offset, &value);
    return (struct pe_place){name, (int32_t)index, offset, value};
}

struct pe_place pe_directory_place(const struct pe_image *image, enum pe_directory_index index,
                                   bool size)
{
    static const char *const names[PE_DIRECTORY_COUNT][2] = {
        {"ExportTable", "ExportTable.Size"},
        {"ImportTable", "ImportTable.Size"},
        {"ResourceTable", "ResourceTable.Size"},
        {"ExceptionTable", "ExceptionTable.Size"},
        {"CertificateTable", "CertificateTable.Size"},
        {"BaseRelocationTable", "BaseRelocationTable.Size"},
        {"Debug", "Debug.Size"},
        {"Architecture", "Architecture.Size"},
        {"GlobalPtr", "GlobalPtr.Size"},
        {"TLSTable", "TLSTable.Size"},
        {"LoadConfigTable", "LoadConfigTable.Size"},
        {"BoundImport", "BoundImport.Size"},
        {"IAT", "IAT.Size"},
        {"DelayImportDescriptor", "DelayImportDescriptor.Size"},
        {"CLRRuntimeHeader", "CLRRuntimeHeader.Size"},
        {"Reserved", "Reserved.Size"},
    };
    const struct pe_directory *dir = &image->h.directory[index];
    uint64_t at = image->h.optional_header_offset + (image->h.pe32_plus ? 112u : 96u) + 8u * index;
    return (struct pe_place){names[index][size], -1, at + (size ? 4 : 0),
                             size ? dir->size : dir->rva};
}

struct pe_place pe_file_size_place(const struct pe_image *image)
{
    return (struct pe_place){"file size", -1, UINT64_MAX, image->file_size};
}

bool pe_broken(struct pe_finding *found, struct pe_place place, const char *fmt, ...)
{
    va_list ap;
    if (place.section >= 0)
        snprintf(found->field, sizeof(found->field), "%s of PE section %d", place.field,
                 place.section);
    else
        snprintf(found->field, sizeof(found->field), "%s", place.field);
    found->offset = place.offset;
    found->value = place.value;
    va_start(ap, fmt);
    vsnprintf(found->text, sizeof(found->text), fmt, ap);
    va_end(ap);
    return false;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool applies(const struct pe_rule *rule, const struct pe_image *image,
                    struct pe_rule_query query)
{
    uint8_t format = image->h.pe32_plus ? PE_FORMAT_32_PLUS : PE_FORMAT_32;
    return (rule->windows & image->windows) && (rule->formats & format) &&
           (rule->stage & query.stages) && (rule->roles & query.roles);
}

/* Where there are no NT headers, nothing that would stand in them is asked for. */
static bool has_headers(const struct pe_image *image)
{
    struct pe_finding unused;
    return pe_rule_dos_magic(image, &unused) && pe_rule_nt_signature(image, &unused) &&
           (image->h.magic == 0x10b || image->h.magic == 0x20b);
}

uint32_t pe_rules_each(const struct pe_image *image, struct pe_rule_query query,
                       pe_rule_visit visit, void *user)
{
    uint32_t count = 0;
    bool readable = image->layout == PE_LAYOUT_MAPPED || has_headers(image);
    for (uint32_t i = 0; i < pe_rule_count; i++) {
        const struct pe_rule *rule = &pe_rules[i];
        struct pe_finding found = {.text = ""};
        if (!rule->holds || !applies(rule, image, query) || rule->holds(image, &found))
            continue;
        count++;
        if (!visit(user, rule, &found) || (!readable && rule->holds != pe_rule_file_size))
            break;
    }
    return count;
}

struct first {
    const struct pe_image *image;
    struct pe_error error;
};

static bool tell_first(void *user, const struct pe_rule *rule, const struct pe_finding *found)
{
    struct first *first = user;
    bool foreign = rule->holds == pe_rule_nt_signature;
    pe_rule_refuse_as(&first->error, foreign ? pe_foreign_status(first->image) : rule->status, rule,
                      found->text);
    return false;
}

nt_status pe_rules_check(const struct pe_image *image, struct pe_rule_query query,
                         struct pe_error *err)
{
    struct first first = {.image = image};
    if (!pe_rules_each(image, query, tell_first, &first))
        return STATUS_SUCCESS;
    return pe_fail_rule(err, first.error.status, first.error.rule, "%s", first.error.text);
}

const struct pe_rule *pe_rule_find(const struct pe_image *image, const char *id)
{
    for (uint32_t i = 0; i < pe_rule_count; i++)
        if (strcmp(pe_rules[i].id, id) == 0 &&
            applies(&pe_rules[i], image, (struct pe_rule_query){0xff, 0xff}))
            return &pe_rules[i];
    return NULL;
}

const char *pe_windows_names(uint8_t windows)
{
    static const char *const names[] = {"",   "XP",     "7",     "XP, 7",
                                        "10", "XP, 10", "7, 10", "XP, 7, 10"};
    return names[windows & PE_WINDOWS_ALL];
}

nt_status pe_rule_refuse_as(struct pe_error *err, nt_status status, const struct pe_rule *rule,
                            const char *found)
{
    return pe_fail_rule(err, status, rule->id, "refused by rule %s (Windows %s): %s", rule->id,
                        pe_windows_names(rule->windows), found);
}

nt_status pe_rule_refuse(struct pe_error *err, const struct pe_rule *rule, const char *found)
{
    return pe_rule_refuse_as(err, rule->status, rule, found);
}
