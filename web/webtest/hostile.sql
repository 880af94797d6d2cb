-- What a page must withstand: markup, text that turns around, very long values,
-- very many columns, names that are hard to quote.
create table cells (id int primary key, what text not null, value text);
insert into cells values
  (1, 'script', '<script>window.hacked = 1</script>'),
  (2, 'handler', '<img src=x onerror="window.hacked = 2"><svg onload="window.hacked = 3">'),
  (3, 'template', '{{constructor.constructor("window.hacked = 4")()}} ${window.hacked = 5} {@html value}'),
  (4, 'right to left', 'מחר יגיע המשלוח, 42 חבילות'),
  (5, 'override', E'invoice\u202Efdp.exe'),
  (6, 'isolates left open', E'\u2067\u2067\u202E\u202D end'),
  (7, 'combining', E'Z\u0351\u036B\u0343\u036A\u0302a\u0300\u0301\u0302\u0303\u0304\u0305l\u0323\u0324\u0325g\u0316\u0317o\u031A'),
  (8, 'controls', E'bell \u0007 escape \u001b[31m nul-like \u2400 delete \u007f'),
  (9, 'lines', E'one\ntwo\r\nthree\tafter a tab'),
  (10, 'nothing to see', E'\u200b\ufeff\u00ad'),
  (11, 'emoji', '👨‍👩‍👧‍👦 🇩🇪 👍🏽 é = é'),
  (12, 'quotes', $q$'; drop table cells; -- " \ $$ `$q$),
  (13, 'address', 'javascript:alert(1)'),
  (14, 'formula', '=HYPERLINK("http://example.org","click")'),
  (15, 'empty', ''), (16, 'null', null),
  (17, 'a word without an end', repeat('Donaudampfschifffahrt', 400));

create table big (id int primary key, story text, doc jsonb, data bytea);
insert into big
select i, repeat(i || ' a long story; ', 700000), jsonb_build_object('items', (select jsonb_agg(md5(n::text)) from generate_series(1, 20000) n)),
       decode(repeat('00010203fffefdfc', 1310720), 'hex')
from generate_series(1, 3) i;

-- The most columns that a table can have, of types that are cut and that are not.
do $$ begin
  execute 'create table wide (id int primary key, ' || (select string_agg(format('c%s %s', n, case when n % 3 = 0 then 'text' else 'int' end), ', ' order by n) from generate_series(1, 1599) n) || ')';
  execute 'insert into wide select i, ' || (select string_agg(case when n % 3 = 0 then '''t''' else (n % 10)::text end, ', ' order by n) from generate_series(1, 1599) n) || ' from generate_series(1, 300) i';
end $$;

create table U&"new\000Aline ""quoted"" 'single' <b>\202Eback" (id int primary key, U&"col\000Aumn ""x"" <i>" text, "日本語 ключ" text, "100% & more?#/" text);
insert into U&"new\000Aline ""quoted"" 'single' <b>\202Eback" values (1, 'a', 'б', '<c>'), (2, null, '', 'd');
create table "…/../%2e%2e/?x=1#y" (id int primary key);
insert into "…/../%2e%2e/?x=1#y" values (1);

-- Relations that have less, or more, than one expects.
create schema nothing_in_it;
create table no_columns ();
insert into no_columns default values;
create materialized view never_filled as select 1 as one with no data;
create view slow as select i from generate_series(1, 3) i, pg_sleep(600);
create view breaks_late as select i, 1 / (700 - i) as x from generate_series(1, 2000) i;
create table far (id int primary key, boss int references far, note text);
insert into far select i, nullif(i / 2, 0), 'row ' || i from generate_series(1, 3000) i;
create table parts (id int, region text, at date) partition by list (region);
create table z_of_parts partition of parts for values in ('de', 'fr') partition by range (at);
create table a_of_z partition of z_of_parts for values from ('2026-01-01') to ('2027-01-01');
create table b_of_parts partition of parts default;
create table family (id int primary key);
create table grandchild (extra text) inherits (family);

create table files (id int primary key, name text not null, content bytea);
analyze cells, no_columns, far, parts;
