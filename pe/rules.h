/*
 * Would Windows map this file? One row per rule (design, decision 5).
 *
 * The ids and wording follow the facts sheet "When Windows accepts an image: rules by version".
 * The loader and every tool ask here and nowhere else.
 */
#ifndef PE_RULES_H
#define PE_RULES_H

#include "pe/image.h"

struct pe_rule {
    const char *id; /* "sections.contiguous" */
    nt_status status;
    const char *text; /* what must hold, one clause */
    /* True when the rule holds; otherwise writes what was found into `found` (`size` bytes). */
    bool (*holds)(const struct pe_image *image, char *found, uint32_t size);
};

extern const struct pe_rule pe_rules[];
extern const uint32_t pe_rule_count;

/*
 * STATUS_SUCCESS, or the first broken rule in `err`. PE_LAYOUT_FILE only. Looks at headers, section
 * table and sizes alone: mm/ asks before it has read the rest of the file.
 */
nt_status pe_rules_check(const struct pe_image *image, struct pe_error *err);

#endif
