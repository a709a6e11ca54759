/*
 * Odd resources: trees that no resource compiler writes, and how programs find their way through
 * them (facts: behaviours, Resources; Microsoft, "VS_VERSIONINFO", "Icons in Win32").
 */
#include <string.h>

#include "tests/odd/odd_calls.h"

const char odd_area[] = "resources";

enum {
    LANG_EN_US = 0x409,
    TYPE_ICON = 3,
    TYPE_STRING = 6,
    TYPE_DATA = 10,
    TYPE_GROUP_ICON = 14,
    TYPE_VERSION = 16,
    TYPE_MANIFEST = 24,
    SUBDIRECTORY = 0x80000000u,
    TABLE = 16, /* sizes in the tree */
    ENTRY = 8,
    DATA = 16,
};

/* ---- trees ----------------------------------------------------------------------------------- */

/* A resource; a name that is not NULL stands in place of the number. Types and names in order:
 * names first, numbers rising. */
struct leaf {
    const char *type_name, *name;
    uint16_t type, id;
    const void *data;
    uint32_t size;
};

static struct leaf leaf(uint16_t type, uint16_t id, const void *data, uint32_t size)
{
    return (struct leaf){.type = type, .id = id, .data = data, .size = size};
}

static struct leaf text_leaf(uint16_t type, uint16_t id, const char *text)
{
    return leaf(type, id, text, (uint32_t)strlen(text));
}

/* A table of one entry or more; returns the RVA of its first entry. */
static uint32_t put_table(struct pebuild_buffer *buffer, uint32_t named, uint32_t numbered)
{
    uint32_t rva = pebuild_zeroes(buffer, TABLE + ENTRY * (named + numbered));
    pebuild_patch32(buffer, rva + 12, named | numbered << 16);
    return rva + TABLE;
}

/* Counts characters, as the tree stores names; returns what an entry says of it. */
static uint32_t put_name(struct pebuild_buffer *buffer, const char *name)
{
    uint32_t rva = pebuild_u16(buffer, (uint16_t)strlen(name));
    for (; *name; name++)
        pebuild_u16(buffer, (uint8_t)*name);
    pebuild_align(buffer, 4);
    return SUBDIRECTORY | (rva - buffer->rva);
}

static void put_entry(struct pebuild_buffer *buffer, uint32_t rva, const char *name, uint16_t id,
                      uint32_t to)
{
    pebuild_patch32(buffer, rva, name ? put_name(buffer, name) : id);
    pebuild_patch32(buffer, rva + 4, to);
}

/* Names, languages and data of one leaf; what the entry of its type is to say. */
static uint32_t put_leaf(struct pebuild_buffer *buffer, const struct leaf *leaf)
{
    uint32_t names = put_table(buffer, leaf->name != NULL, !leaf->name);
    uint32_t languages = put_table(buffer, 0, 1);
    uint32_t entry = pebuild_zeroes(buffer, DATA);
    uint32_t data = pebuild_bytes(buffer, leaf->data, leaf->size);
    pebuild_align(buffer, 4);
    put_entry(buffer, names, leaf->name, leaf->id,
              SUBDIRECTORY | (languages - TABLE - buffer->rva));
    put_entry(buffer, languages, NULL, LANG_EN_US, entry - buffer->rva);
    pebuild_patch32(buffer, entry, data);
    pebuild_patch32(buffer, entry + 4, leaf->size);
    return SUBDIRECTORY | (names - TABLE - buffer->rva);
}

static void end_tree(struct odd *odd, struct pebuild_buffer *buffer)
{
    /* The size plays no part, and is 0 everywhere here. */
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_RESOURCE, buffer->rva, 0);
    pebuild_buffer_section(buffer, ".rsrc", PEBUILD_RDATA);
}

/* ".rsrc" with resources, each of a type of its own. */
static void put_tree(struct odd *odd, const struct leaf *leaves, uint32_t count)
{
    struct pebuild_buffer buffer = pebuild_buffer(odd->b);
    uint32_t named = 0;
    for (uint32_t i = 0; i < count; i++)
        named += leaves[i].type_name != NULL;
    uint32_t types = put_table(&buffer, named, count - named);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t to = put_leaf(&buffer, &leaves[i]);
        put_entry(&buffer, types + i * ENTRY, leaves[i].type_name, leaves[i].type, to);
    }
    end_tree(odd, &buffer);
}

/* ---- programs -------------------------------------------------------------------------------- */

#define FINDERS ODD_NAMES("FindResourceA", "LoadResource", "SizeofResource", "GetModuleHandleA")

/* Prints the text that is found. */
static void show(struct odd_calls *c, struct odd_argument name, struct odd_argument type)
{
    uint32_t found = odd_calls_slot(c), size = odd_calls_slot(c), bytes = odd_calls_slot(c);
    ODD_CALL(c, "FindResourceA", found, ODD_VALUE(0), name, type);
    ODD_CALL(c, "SizeofResource", size, ODD_VALUE(0), ODD_IN(found));
    ODD_CALL(c, "LoadResource", bytes, ODD_VALUE(0), ODD_IN(found));
    ODD_PRINTF(c, "%.*s", ODD_IN(size), ODD_IN(bytes));
}

static void end(struct odd_calls *c)
{
    odd_exit(c->odd, 0);
    odd_calls_end(c);
}

static void by_number(struct odd *odd)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, NULL, NULL);
    show(&c, ODD_VALUE(1), ODD_VALUE(TYPE_DATA));
    end(&c);
    const struct leaf leaves[] = {text_leaf(TYPE_DATA, 1, "by number")};
    put_tree(odd, leaves, 1);
}

static void by_number_text(struct odd *odd)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, NULL, NULL);
    show(&c, ODD_AT(odd_calls_text(&c, "#345")), ODD_AT(odd_calls_text(&c, "#10")));
    show(&c, ODD_VALUE(345), ODD_AT(odd_calls_text(&c, "#10")));
    end(&c);
    const struct leaf leaves[] = {text_leaf(TYPE_DATA, 345, "by # and number")};
    put_tree(odd, leaves, 1);
}

static void by_name(struct odd *odd)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, NULL, NULL);
    show(&c, ODD_AT(odd_calls_text(&c, "NAME")), ODD_AT(odd_calls_text(&c, "TYPE")));
    show(&c, ODD_AT(odd_calls_text(&c, "nAme")), ODD_AT(odd_calls_text(&c, "type")));
    end(&c);
    const struct leaf leaves[] = {
        {.type_name = "TYPE", .name = "NAME", .data = "by name", .size = 7},
        text_leaf(TYPE_DATA, 1, "by number"),
    };
    put_tree(odd, leaves, 2);
}

/* Data in the header; languages, then the entry of the data, then names. */
static void scattered(struct odd *odd)
{
    enum { IN_HEADER = 0x300 };
    static const char text[] = "scattered";
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, NULL, NULL);
    show(&c, ODD_VALUE(1), ODD_VALUE(TYPE_DATA));
    end(&c);
    struct pebuild_buffer buffer = pebuild_buffer(odd->b);
    uint32_t types = put_table(&buffer, 0, 1);
    pebuild_zeroes(&buffer, 60);
    uint32_t languages = put_table(&buffer, 0, 1);
    uint32_t entry = pebuild_u32(&buffer, IN_HEADER);
    pebuild_u32(&buffer, sizeof(text) - 1);
    pebuild_zeroes(&buffer, 108);
    uint32_t names = put_table(&buffer, 0, 1);
    put_entry(&buffer, types, NULL, TYPE_DATA, SUBDIRECTORY | (names - TABLE - buffer.rva));
    put_entry(&buffer, names, NULL, 1, SUBDIRECTORY | (languages - TABLE - buffer.rva));
    put_entry(&buffer, languages, NULL, LANG_EN_US, entry - buffer.rva);
    end_tree(odd, &buffer);
    odd_finish(odd);
    memcpy(odd->bytes + IN_HEADER, text, sizeof(text));
}

/* Each table has an entry that leads back to the first or to itself, beside the one on the way. */
static void loops(struct odd *odd)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, NULL, NULL);
    show(&c, ODD_VALUE(1), ODD_VALUE(TYPE_DATA));
    end(&c);
    struct pebuild_buffer buffer = pebuild_buffer(odd->b);
    uint32_t types = put_table(&buffer, 0, 3), names = put_table(&buffer, 0, 3);
    uint32_t languages = put_table(&buffer, 0, 2), entry = pebuild_zeroes(&buffer, DATA);
    uint32_t to_names = SUBDIRECTORY | (names - TABLE - buffer.rva);
    uint32_t to_languages = SUBDIRECTORY | (languages - TABLE - buffer.rva);
    pebuild_patch32(&buffer, entry, pebuild_str(&buffer, "past the loops"));
    pebuild_patch32(&buffer, entry + 4, 14);
    put_entry(&buffer, types, NULL, TYPE_ICON, SUBDIRECTORY);
    put_entry(&buffer, types + ENTRY, NULL, TYPE_DATA, to_names);
    put_entry(&buffer, types + 2 * ENTRY, NULL, TYPE_VERSION, to_languages);
    put_entry(&buffer, names, NULL, 0, to_names);
    put_entry(&buffer, names + ENTRY, NULL, 1, to_languages);
    put_entry(&buffer, names + 2 * ENTRY, NULL, 2, SUBDIRECTORY);
    put_entry(&buffer, languages, NULL, LANG_EN_US, entry - buffer.rva);
    put_entry(&buffer, languages + ENTRY, NULL, LANG_EN_US + 1, to_languages);
    end_tree(odd, &buffer);
}

/* ---- string tables and icons ----------------------------------------------------------------- */

/* Strings 0x120 to 0x12f, of which two are not empty, are table 0x13. */
static void string_tables(struct odd *odd)
{
    static const char *const texts[16] = {[3] = "three", [15] = "fifteen"};
    uint8_t table[2 * (16 + 12)] = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i < 16; i++) {
        const char *text = texts[i] ? texts[i] : "";
        table[at] = (uint8_t)strlen(text);
        for (at += 2; *text; text++, at += 2)
            table[at] = (uint8_t)*text;
    }
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, NULL, "USER32.dll", ODD_NAMES("LoadStringA"));
    uint32_t buffer = odd_calls_bytes(&c, NULL, 32), length = odd_calls_slot(&c);
    static const uint16_t ids[] = {0x123, 0x12f, 0x120, 0x113};
    for (uint32_t i = 0; i < 4; i++) {
        ODD_CALL(&c, "LoadStringA", length, ODD_VALUE(0), ODD_VALUE(ids[i]), ODD_AT(buffer),
                 ODD_VALUE(32));
        ODD_PRINTF(&c, "%d %s", ODD_IN(length), ODD_AT(buffer));
    }
    end(&c);
    const struct leaf leaves[] = {leaf(TYPE_STRING, 0x123 / 16 + 1, table, at)};
    put_tree(odd, leaves, 1);
}

/* Group 100 names picture 7 and says nothing else of it. */
static void icon(struct odd *odd)
{
    static const uint8_t group[6 + 14] = {0, 0, 1, 0, 1, 0, [6 + 12] = 7};
    static const uint8_t picture[40 + 16] = {40, [4] = 1, [8] = 2, [12] = 1, [14] = 1};
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, "USER32.dll",
                    ODD_NAMES("LoadIconA", "LookupIconIdFromDirectory"));
    uint32_t module = odd_calls_slot(&c), found = odd_calls_slot(&c), id = odd_calls_slot(&c);
    ODD_CALL(&c, "GetModuleHandleA", module, ODD_VALUE(0));
    ODD_CALL(&c, "LoadIconA", found, ODD_IN(module), ODD_VALUE(100));
    odd_print_if32(odd, found, 0, "no icon 100", "icon 100");
    ODD_CALL(&c, "LoadIconA", found, ODD_IN(module), ODD_VALUE(101));
    odd_print_if32(odd, found, 0, "no icon 101", "icon 101");
    ODD_CALL(&c, "FindResourceA", found, ODD_VALUE(0), ODD_VALUE(100), ODD_VALUE(TYPE_GROUP_ICON));
    ODD_CALL(&c, "LoadResource", found, ODD_VALUE(0), ODD_IN(found));
    ODD_CALL(&c, "LookupIconIdFromDirectory", id, ODD_IN(found), ODD_VALUE(1));
    ODD_PRINTF(&c, "picture %d", ODD_IN(id));
    end(&c);
    const struct leaf leaves[] = {leaf(TYPE_ICON, 7, picture, sizeof(picture)),
                                  leaf(TYPE_GROUP_ICON, 100, group, sizeof(group))};
    put_tree(odd, leaves, 2);
}

/* ---- manifests ------------------------------------------------------------------------------- */

static void with_manifest(struct odd *odd, uint16_t id, const char *manifest)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, FINDERS, NULL, NULL);
    odd_print(odd, "main");
    show(&c, ODD_VALUE(id), ODD_VALUE(TYPE_MANIFEST));
    end(&c);
    const struct leaf leaves[] = {text_leaf(TYPE_MANIFEST, id, manifest)};
    put_tree(odd, leaves, 1);
}

#define EMPTY_ASSEMBLY "<assembly xmlns='urn:schemas-microsoft-com:asm.v1' manifestVersion='1.0'/>"

static void empty_manifest(struct odd *odd)
{
    with_manifest(odd, 1, EMPTY_ASSEMBLY);
}

static void manifest_of_no_one(struct odd *odd)
{
    with_manifest(odd, 5, "<no: manifest at all");
}

/* ---- version blocks -------------------------------------------------------------------------- */

/* A tree of blocks under construction: the lengths of those that are open are not known yet. */
struct blocks {
    uint8_t bytes[512];
    uint32_t size;
};

static uint32_t open_block(struct blocks *b, const char *key, uint16_t value_length, bool text)
{
    uint32_t begin = b->size = (b->size + 3) & ~3u;
    pebuild_put16(b->bytes, begin + 2, value_length);
    pebuild_put16(b->bytes, begin + 4, text);
    b->size += 6;
    for (; *key; key++, b->size += 2)
        b->bytes[b->size] = (uint8_t)*key;
    b->size = (b->size + 2 + 3) & ~3u;
    return begin;
}

static void close_block(struct blocks *b, uint32_t begin)
{
    pebuild_put16(b->bytes, begin, (uint16_t)(b->size - begin));
}

static void put_string(struct blocks *b, const char *key, const char *value)
{
    uint32_t begin = open_block(b, key, (uint16_t)(strlen(value) + 1), true);
    for (; *value; value++, b->size += 2)
        b->bytes[b->size] = (uint8_t)*value;
    b->size += 2;
    close_block(b, begin);
}

/* VS_FIXEDFILEINFO of version 1.2.3.4. */
static uint32_t open_version(struct blocks *b)
{
    uint32_t begin = open_block(b, "VS_VERSION_INFO", 52, false);
    pebuild_put32(b->bytes, b->size, 0xfeef04bd);
    pebuild_put32(b->bytes, b->size + 4, 0x10000);
    pebuild_put32(b->bytes, b->size + 8, 1u << 16 | 2);
    pebuild_put32(b->bytes, b->size + 12, 3u << 16 | 4);
    b->size += 52;
    return begin;
}

/* Up to three pairs of a key and a value in one string table. */
static void put_strings(struct blocks *b, const char *const *pairs)
{
    uint32_t all = open_block(b, "StringFileInfo", 0, true);
    uint32_t table = open_block(b, "040904b0", 0, true);
    for (; *pairs; pairs += 2)
        put_string(b, pairs[0], pairs[1]);
    close_block(b, table);
    close_block(b, all);
}

/* Reads its own version: the fixed part, and string `key`. */
static void with_version(struct odd *odd, const char *const *pairs, const char *key)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("GetModuleFileNameA"), "VERSION.dll",
                    ODD_NAMES("GetFileVersionInfoA", "VerQueryValueA"));
    uint32_t path = odd_calls_bytes(&c, NULL, 512), info = odd_calls_bytes(&c, NULL, 1400);
    uint32_t value = odd_calls_slot(&c), size = odd_calls_slot(&c), got = odd_calls_slot(&c);
    ODD_CALL(&c, "GetModuleFileNameA", 0, ODD_VALUE(0), ODD_AT(path), ODD_VALUE(512));
    ODD_CALL(&c, "GetFileVersionInfoA", got, ODD_AT(path), ODD_VALUE(0), ODD_VALUE(1400),
             ODD_AT(info));
    odd_print_if32(odd, got, 0, "no version", "a version");
    ODD_CALL(&c, "VerQueryValueA", got, ODD_AT(info), ODD_AT(odd_calls_text(&c, "\\")),
             ODD_AT(value), ODD_AT(size));
    odd_calls_load32(&c, value, value);
    ODD_PRINTF(&c, "fixed %d, %d bytes, %x", ODD_IN(got), ODD_IN(size), ODD_IN(value));
    ODD_CALL(&c, "VerQueryValueA", got, ODD_AT(info), ODD_AT(odd_calls_text(&c, key)),
             ODD_AT(value), ODD_AT(size));
    odd_print_if32(odd, got, 0, "no string", "a string");
    ODD_PRINTF(&c, "value: %.*s", ODD_IN(size), ODD_IN(value));
    end(&c);
    struct blocks b = {{0}, 0};
    uint32_t begin = open_version(&b);
    if (pairs)
        put_strings(&b, pairs);
    close_block(&b, begin);
    const struct leaf leaves[] = {leaf(TYPE_VERSION, 1, b.bytes, b.size)};
    put_tree(odd, leaves, 1);
}

#define STRING(key) "\\StringFileInfo\\040904b0\\" key

static void repeated_keys(struct odd *odd)
{
    with_version(odd, ODD_NAMES("Key", "first", "Key", "second", "Other", "third"), STRING("Key"));
}

static void one_string_table(struct odd *odd)
{
    with_version(odd, ODD_NAMES("FileVersion", "1.2.3.4"), STRING("FileVersion"));
}

static void fixed_part_alone(struct odd *odd)
{
    with_version(odd, NULL, STRING("FileVersion"));
}

const struct odd_row odd_rows[] = {
    {.name = "by-number",
     .shows = "resources-01",
     .formats = ODD_BOTH,
     .build = by_number,
     .output = "by number"},
    {.name = "by-number-text",
     .shows = "resources-02",
     .formats = ODD_BOTH,
     .build = by_number_text,
     .output = "by # and number\nby # and number"},
    {.name = "by-name",
     .shows = "resources-03",
     .formats = ODD_BOTH,
     .build = by_name,
     .output = "by name\nby name"},
    {.name = "scattered",
     .shows = "resources-04",
     .formats = ODD_BOTH,
     .build = scattered,
     .output = "scattered"},
    {.name = "loops",
     .shows = "resources-05",
     .formats = ODD_BOTH,
     .build = loops,
     .output = "past the loops"},
    {.name = "string-tables",
     .shows = "resources-06",
     .formats = ODD_BOTH,
     .build = string_tables,
     .output = "5 three\n7 fifteen\n0 \n0 "},
    {.name = "icon",
     .shows = "resources-07",
     .formats = ODD_BOTH,
     .build = icon,
     .output = "icon 100\nno icon 101\npicture 7"},
    {.name = "empty-manifest",
     .shows = "resources-08",
     .formats = ODD_BOTH,
     .build = empty_manifest,
     .output = "main\n" EMPTY_ASSEMBLY},
    {.name = "manifest-elsewhere",
     .shows = "resources-09",
     .formats = ODD_BOTH,
     .build = manifest_of_no_one,
     .output = "main\n<no: manifest at all"},
    {.name = "version-repeated-keys",
     .shows = "resources-11",
     .formats = ODD_BOTH,
     .build = repeated_keys,
     .output = "a version\nfixed 1, 52 bytes, feef04bd\na string\nvalue: first"},
    {.name = "version-one-table",
     .shows = "resources-12",
     .formats = ODD_BOTH,
     .build = one_string_table,
     .output = "a version\nfixed 1, 52 bytes, feef04bd\na string\nvalue: 1.2.3.4"},
    {.name = "version-fixed-alone",
     .shows = "resources-13",
     .formats = ODD_BOTH,
     .build = fixed_part_alone,
     .output = "a version\nfixed 1, 52 bytes, feef04bd\nno string\nvalue: "},
    {0},
};
