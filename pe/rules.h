/*
 * Would Windows take this image, and if not by which rule? One row per rule (design, decision 5).
 *
 * Ids, order and versions follow the facts sheet "When Windows accepts an image: rules by version".
 * Where a recorded run on real Windows (facts sheet "Windows-loader behaviours") says otherwise,
 * the row follows the run and says so beside its function. The loader and every tool ask here and
 * nowhere else.
 *
 * What differs between Windows versions is decided by image->windows: an image is read, mapped and
 * judged by one version. "7" and "10" are the 64-bit editions, which run both formats; "XP" is 5.1
 * for PE32 and its x64 edition for PE32+.
 */
#ifndef PE_RULES_H
#define PE_RULES_H

#include "pe/image.h"

enum pe_format { PE_FORMAT_32 = 1, PE_FORMAT_32_PLUS = 2, PE_FORMAT_ANY = 3 };

/* When Windows asks, a set. */
enum pe_stage {
    PE_STAGE_SECTION = 1, /* the section object is created: headers and section table alone */
    PE_STAGE_PROCESS = 2, /* a process is created from it: programs only */
    PE_STAGE_LOADER = 4,  /* the user-mode loader reads the mapped image, before fixups */
    PE_STAGE_MOVE = 8,    /* ... and when it applies fixups: only where the image moves */
};

/* What the image is loaded as, a set. */
enum pe_role { PE_ROLE_PROGRAM = 1, PE_ROLE_DLL = 2, PE_ROLE_ANY = 3 };

/* What breaks a rule. */
struct pe_finding {
    char field[48];  /* "SizeOfImage", "VirtualAddress of PE section 3" */
    uint64_t offset; /* of the field in the file; UINT64_MAX = it is no field (the file's size) */
    uint64_t value;
    char text[256]; /* a clause: "section 3 begins at 0x5000, the previous one ends at 0x4000" */
};

struct pe_rule {
    const char *id;  /* "sections.contiguous"; rows of different versions may share one */
    uint8_t windows; /* set of enum pe_windows */
    uint8_t formats, stage, roles;
    nt_status status;
    const char *text; /* what must hold, one clause */
    /*
     * True when the rule holds; fills `found` otherwise. NULL: the rule is about what a fixup does
     * at the moment when it is applied; reloc/ refuses by it (pe_rule_find).
     */
    bool (*holds)(const struct pe_image *image, struct pe_finding *found);
};

extern const struct pe_rule pe_rules[];
extern const uint32_t pe_rule_count;

/* Which rules are asked. The version is image->windows, the format the image's own. */
struct pe_rule_query {
    uint8_t stages, roles;
};
/* A broken rule; true = go on. */
typedef bool (*pe_rule_visit)(void *user, const struct pe_rule *rule,
                              const struct pe_finding *found);
/*
 * Calls `visit` for every rule that is broken, in the table's order. The number of calls. Rules of
 * PE_STAGE_LOADER read the image's content; data directories are those of image->h.
 */
uint32_t pe_rules_each(const struct pe_image *image, struct pe_rule_query query,
                       pe_rule_visit visit, void *user);
/*
 * What NtCreateSection(SEC_IMAGE) asks: decodes the file's headers and checks the rules of
 * PE_STAGE_SECTION by `windows`. Looks at headers, section table and sizes alone: mm/ asks before
 * it has read the rest of the file.
 */
nt_status pe_admit(struct pe_span bytes, enum pe_windows windows, struct pe_image *out,
                   struct pe_error *err);
/* STATUS_SUCCESS, or the first broken rule in `err` (pe_rule_refuse). */
nt_status pe_rules_check(const struct pe_image *image, struct pe_rule_query query,
                         struct pe_error *err);

/* The row of `id` that holds for this image's version and format; NULL when there is none. */
const struct pe_rule *pe_rule_find(const struct pe_image *image, const char *id);
/*
 * Records the refusal as users see it everywhere: "refused by rule sections.contiguous (Windows XP,
 * 7, 10): section 3 begins at 0x5000, the previous one ends at 0x4000". Returns rule->status.
 */
nt_status pe_rule_refuse(struct pe_error *err, const struct pe_rule *rule, const char *found);
/* The same with a status that says more than the row's. */
nt_status pe_rule_refuse_as(struct pe_error *err, nt_status status, const struct pe_rule *rule,
                            const char *found);

/* "XP, 7, 10" */
const char *pe_windows_names(uint8_t windows);

/*
 * True where no process can have the image at its preferred base, so that it has to move: ImageBase
 * 0 or outside of user space (rules, ldr.must_move).
 */
bool pe_must_move(const struct pe_image *image);
/* Where such a program goes; DLLs go anywhere. */
#define PE_MOVED_BASE 0x10000u

/*
 * The data directories as the user-mode loader sees them: Windows reads them from the mapped image,
 * where a PE section may lie over the end of the NT headers and what SizeOfHeaders cuts off is zero
 * (behaviours, Headers). In either layout; changes image->h.
 */
void pe_directories_as_mapped(struct pe_image *image);

#endif
