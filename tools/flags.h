/* Names of header flags, directories and relocation types, for people and JSON (PE specification).
 */
#ifndef TOOLS_FLAGS_H
#define TOOLS_FLAGS_H

#include <jansson.h>
#include <stdint.h>

#include "pe/image.h"

struct flag_name {
    uint32_t value;
    const char *name;
};
extern const struct flag_name file_flags[], dll_flags[], section_flags[];

/* The names of the bits that are set, as an array of strings. */
json_t *flags_json(const struct flag_name *names, uint32_t value);
/* {"DIR64": 12, ...} from counts per relocation type; types without fixups are left out. */
json_t *fixups_json(const uint32_t *fixups, uint16_t machine);
const char *directory_name(unsigned index);
const char *subsystem_name(uint16_t subsystem);

#endif
