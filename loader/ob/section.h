/*
 * Section objects as handles see them (facts 1.5, 1.6, 4.1-4.4): creation by the rules of
 * NtCreateSection, names, sharing between processes, mapping with the access that a handle grants.
 *
 * Three kinds: of a data file, of the paging file, of an image file (SEC_IMAGE). A record
 * (ob/record.h) describes it to other processes; the pages of a named paging-file section lie in
 * the record itself, of an unnamed one in its memfd. A data file is kept by a descriptor of the
 * section's own, which goes with it to other processes; who opens the section by name gets it from
 * a process that holds the section.
 */
#ifndef OB_SECTION_H
#define OB_SECTION_H

#include "loader/mm/data.h"
#include "loader/ob/record.h"

extern const struct ob_type ob_section_type;

enum {
    SECTION_QUERY = 0x1,
    SECTION_MAP_WRITE = 0x2,
    SECTION_MAP_READ = 0x4,
    SECTION_MAP_EXECUTE = 0x8,
    SECTION_EXTEND_SIZE = 0x10,
    SECTION_MAP_EXECUTE_EXPLICIT = 0x20,
    SECTION_ALL_ACCESS = 0xF001F,
};

struct ob_section_create {
    struct ob_name name;
    bool global;
    int fd;           /* the data or image file, -1 = paging file; duplicated */
    const char *path; /* its host path, for messages and for other processes; may be NULL */
    bool file_read, file_write, file_execute; /* what the file handle grants */
    uint64_t size;                            /* 0 = the file's */
    uint32_t protect;                         /* PAGE_* */
    uint32_t attributes;                      /* SEC_* */
};
/*
 * Mirrors NtCreateSection: STATUS_SUCCESS, STATUS_OBJECT_NAME_EXISTS (opened), or the failures of
 * facts 4.1. `*out` is a new reference.
 */
nt_status ob_section_create(const struct ob_section_create *how, struct ob_object **out,
                            struct pe_error *err);
nt_status ob_section_open(const struct ob_name *name, bool global, struct ob_object **out,
                          struct pe_error *err);

/* What a handle that was asked for with `access` grants: generic rights and MAXIMUM_ALLOWED become
 * SECTION_* ones. */
uint32_t ob_section_access(uint32_t access);

/*
 * Mirrors NtMapViewOfSection through a handle with `access` (SECTION_MAP_*): STATUS_ACCESS_DENIED
 * when the handle does not allow `how->protect`; beyond that mm_data_map() and mm_image_map().
 */
nt_status ob_section_map(struct ob_object *section, uint32_t access, const struct mm_data_map *how,
                         uint64_t *base, uint64_t *size, struct pe_error *err);

/* Mirrors NtUnmapViewOfSection: ends the view of a section that holds `address`, mapped by
 * ob_section_map(). As mm_unmap_view(). */
nt_status ob_section_unmap(uint64_t address, struct pe_error *err);
/*
 * Both in another process (ob/process.h), or in this one. The other process does it itself, on its
 * service thread; so it is one in which peldr runs.
 */
nt_status ob_section_map_into(struct ob_object *process, struct ob_object *section, uint32_t access,
                              const struct mm_data_map *how, uint64_t *base, uint64_t *size,
                              struct pe_error *err);
nt_status ob_section_unmap_from(struct ob_object *process, uint64_t address, struct pe_error *err);

/*
 * Mirrors NtExtendSection: the file and the section become `*size` bytes long, unless they are that
 * long already; `*size` says how long the section is. STATUS_SECTION_NOT_EXTENDED when it is not
 * one of a data file whose pages are written back.
 */
nt_status ob_section_extend(struct ob_object *section, uint64_t *size, struct pe_error *err);

struct ob_section_info {
    uint64_t size;
    uint32_t protect, attributes; /* as SectionBasicInformation shows them */
    struct mm_section *image;     /* SEC_IMAGE: valid as long as the object; else NULL */
};
void ob_section_query(struct ob_object *section, struct ob_section_info *out);
/* What the record of a section says, for who lists them; false when it is damaged. */
struct ob_section_summary {
    uint64_t size;
    uint32_t protect, attributes;
    char path[1024]; /* "" = paging file */
};
bool ob_section_summarize(const void *body, struct ob_section_summary *out);

/* Sections can come in parcels and views be mapped on others' behalf from now on. Idempotent. */
void ob_section_register(void);

#endif
