/*
 * Would Windows load it, and if not by which rule? (ldr.h)
 *
 * The same rows that ldr_load() asks, in the same order, over the file's bytes instead of a view.
 * Only what a fixup does depends on the fixups before it: an image that has to move is mapped and
 * relocated for the answer.
 */
#include <stdio.h>
#include <string.h>

#include "loader/ldr/map.h"
#include "pe/rules.h"

struct asking {
    const struct ldr_verification *how;
    enum pe_windows windows;
};

static bool tell(void *user, const struct pe_rule *rule, const struct pe_finding *found)
{
    const struct asking *asking = user;
    if (asking->how->visit) {
        asking->how->visit(asking->how->user, asking->windows, rule, found);
    }
    return true;
}

/* What ldr_relocate() said, as a finding about the relocation directory. */
static void tell_move(struct asking *asking, const struct pe_image *image,
                      const struct pe_error *err)
{
    const struct pe_rule *rule = pe_rule_find(image, err->rule);
    const char *text = strstr(err->text, "): ");
    struct pe_finding found = {.field = "BaseRelocationTable", .offset = UINT64_MAX};
    if (!rule) {
        return;
    }
    found.offset = image->h.optional_header_offset + (image->h.pe32_plus ? 152u : 136u);
    found.value = image->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].rva;
    snprintf(found.text, sizeof found.text, "%.255s", text ? text + 3 : err->text);
    tell(asking, rule, &found);
}

/* Can it be moved, or does a rule refuse that? A failure: that is not known. */
static nt_status try_move(struct asking *asking, const struct pe_image *image, const char *name,
                          bool *accepted, struct pe_error *err)
{
    struct mm_map_options options = {.shared_fd = -1, .below_4gib = !image->h.pe32_plus};
    struct mm_section *section = NULL;
    struct mm_view *view = NULL;
    struct pe_error why = {0};
    struct reloc_plan plan;
    nt_status status = mm_section_create_image_from_memory(image->bytes.data, image->bytes.size,
                                                           name, asking->windows, &section, &why);
    if (nt_ok(status)) {
        status = mm_view_map(section, &options, &view, NULL, 0, &why);
    }
    if (nt_ok(status)) {
        bool dll = image->h.characteristics & IMAGE_FILE_DLL;
        uint64_t base = dll ? mm_view_base(view) : PE_MOVED_BASE;
        status = ldr_relocate(view, base, true, &plan, &why);
    }
    mm_view_unmap(view);
    mm_section_unref(section);
    *accepted = nt_ok(status);
    if (nt_ok(status)) {
        return STATUS_SUCCESS;
    }
    if (why.rule) {
        tell_move(asking, image, &why);
        return STATUS_SUCCESS;
    }
    return pe_fail(err, status, "%s", why.text);
}

static nt_status verify_one(struct asking *asking, struct pe_span bytes, const char *name,
                            bool *accepted, struct pe_error *err)
{
    struct pe_image image = pe_read(bytes, PE_LAYOUT_FILE);
    uint8_t role = asking->how->role;
    image.windows = asking->windows;
    if (!role) {
        role = image.h.characteristics & IMAGE_FILE_DLL ? PE_ROLE_DLL : PE_ROLE_PROGRAM;
    }
    *accepted = false;
    for (uint8_t stage = PE_STAGE_SECTION; stage <= PE_STAGE_LOADER; stage *= 2) {
        if (pe_rules_each(&image, (struct pe_rule_query){stage, role}, tell, asking)) {
            return STATUS_SUCCESS;
        }
        if (stage == PE_STAGE_SECTION) {
            pe_directories_as_mapped(&image);
        }
    }
    if (pe_must_move(&image)) {
        return try_move(asking, &image, name, accepted, err);
    }
    *accepted = true;
    return STATUS_SUCCESS;
}

static nt_status verify(struct pe_span bytes, const char *name, const struct ldr_verification *how,
                        uint8_t *accepted, struct pe_error *err)
{
    uint8_t versions = 0;
    for (unsigned windows = PE_WINDOWS_XP; windows <= PE_WINDOWS_10; windows *= 2) {
        struct asking asking = {how, (enum pe_windows)windows};
        bool good = false;
        if (!(how->windows & windows)) {
            continue;
        }
        nt_status status = verify_one(&asking, bytes, name, &good, err);
        if (!nt_ok(status)) {
            return status;
        }
        versions |= (uint8_t)(good ? windows : 0);
    }
    *accepted = versions;
    return STATUS_SUCCESS;
}

nt_status ldr_verify_memory(struct pe_span bytes, const char *name,
                            const struct ldr_verification *how, uint8_t *accepted,
                            struct pe_error *err)
{
    return verify(bytes, name, how, accepted, err);
}

/*
 * Is anything asked that headers and section table do not tell? Debug data of flat images, load
 * configurations for Windows 6.3 and later, data directories that a PE section lies over, fixups.
 */
static bool needs_content(const struct pe_image *image)
{
    const struct pe_headers *h = &image->h;
    bool configured = h->directory[IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG].rva != 0;
    return pe_is_flat(image) || (configured && h->major_subsystem_version >= 6) ||
           pe_must_move(image) ||
           h->optional_header_offset + h->size_of_optional_header > h->size_of_headers;
}

/* Most of a file is not read for a verdict; of one that only rule file.size refuses, not the rest
 * either. */
nt_status ldr_verify(int fd, const char *name, const struct ldr_verification *how,
                     uint8_t *accepted, struct pe_error *err)
{
    struct pe_span bytes;
    nt_status status = mm_file_map_headers(fd, name, &bytes, err);
    if (!nt_ok(status)) {
        return status;
    }
    struct pe_image image = pe_read(bytes, PE_LAYOUT_FILE);
    if (bytes.size <= UINT32_MAX && image.h.magic && needs_content(&image)) {
        mm_file_unmap(bytes);
        status = mm_file_map(fd, name, &bytes, err);
        if (!nt_ok(status)) {
            return status;
        }
    }
    status = verify(bytes, name, how, accepted, err);
    mm_file_unmap(bytes);
    return status;
}

enum pe_windows ldr_windows(void)
{
    return mm_windows();
}
