create schema shop;
comment on schema shop is 'A small shop';
create type shop.order_state as enum ('new', 'paid', 'sent', 'returned');
create domain shop.email as text check (value like '%@%');

create table shop.customers (
  id          bigint generated always as identity primary key,
  name        text not null,
  email       shop.email unique,
  born        date,
  tags        text[] not null default '{}',
  profile     jsonb,
  balance     numeric(12,2) not null default 0,
  vip         boolean not null default false,
  avatar      bytea,
  note        text,
  created_at  timestamptz not null default now(),
  constraint balance_sane check (balance > -10000)
);
comment on table shop.customers is 'Who bought something';
comment on column shop.customers.tags is 'What sales calls them';
insert into shop.customers (name, email, born, tags, profile, balance, vip, avatar, note, created_at)
select (array['Ada','Grace','Edsger','Barbara','Donald','Radia','Ken','Margaret'])[1 + i % 8] || ' ' ||
       (array['Müller','O''Brien','Søndergård','Nguyễn','Ивано́в','García','Smith'])[1 + i % 7] || ' ' || i,
       case when i % 9 = 0 then null else 'customer' || i || '@example.org' end,
       case when i % 11 = 0 then null else date '1950-01-01' + (i * 37) % 20000 end,
       case i % 3 when 0 then '{}'::text[] when 1 then array['loyal'] else array['new', 'needs "care"', null] end,
       case when i % 5 = 0 then null else jsonb_build_object('city', (array['Berlin','Paris','Oslo','Lisbon'])[1 + i % 4],
         'visits', i % 97, 'devices', jsonb_build_array('phone', i, null), 'newsletter', i % 2 = 0) end,
       round((i * 7919 % 100000)::numeric / 100, 2), i % 50 = 0,
       case when i % 20 = 0 then decode('89504e470d0a1a0a', 'hex') end,
       case i % 10 when 0 then '' when 1 then null when 2 then 'מחר יגיע המשלוח' when 3 then '<script>alert(1)</script>'
         when 4 then E'two\nlines' else 'regular' end,
       timestamptz '2026-01-01 00:00+00' + i * interval '37 minutes'
from generate_series(1, 2000) i;
update shop.customers set note = repeat('A long story. ', 800000) where id = 7;

create table shop.products (
  sku    text primary key,
  title  text not null,
  price  numeric(10,2) not null check (price >= 0),
  dims   int4[],
  attrs  jsonb not null default '{}'
);
insert into shop.products
select 'SKU-' || lpad(i::text, 4, '0'), 'A fairly long title of product ' || i, (i * 31 % 5000)::numeric / 100 + 1,
       array[i % 30, i % 20, i % 10], jsonb_build_object('colour', (array['red','green','blue'])[1 + i % 3], 'weight', i % 100)
from generate_series(1, 300) i;

create table shop.orders (
  id          bigint primary key,
  customer_id bigint not null references shop.customers (id) on delete cascade,
  state       shop.order_state not null,
  placed_at   timestamptz not null,
  total       numeric(12,2)
);
create index orders_customer on shop.orders (customer_id);
create index orders_placed on shop.orders (placed_at desc);
insert into shop.orders
select i, 1 + i * 13 % 2000, (enum_range(null::shop.order_state))[1 + i % 4],
       timestamptz '2026-01-01 00:00+00' + i * interval '11 minutes', case when i % 40 = 0 then null else (i * 17 % 90000)::numeric / 100 end
from generate_series(1, 10000) i;

create table shop.order_lines (
  order_id bigint not null references shop.orders (id) on delete cascade,
  line     int not null,
  sku      text not null references shop.products (sku),
  quantity int not null,
  price    numeric(10,2) not null,
  amount   numeric generated always as (quantity * price) stored,
  primary key (order_id, line)
);
insert into shop.order_lines (order_id, line, sku, quantity, price)
select o, l, 'SKU-' || lpad((1 + (o * 7 + l * 3) % 300)::text, 4, '0'), 1 + (o + l) % 5, (o * l % 500)::numeric / 10
from generate_series(1, 10000) o, generate_series(1, 2) l;

create table shop.events (at timestamptz not null, kind text not null, payload jsonb) partition by range (at);
create table shop.events_2026_01 partition of shop.events for values from ('2026-01-01') to ('2026-02-01');
create table shop.events_2026_02 partition of shop.events for values from ('2026-02-01') to ('2026-03-01');
insert into shop.events
select timestamptz '2026-01-01 00:00+00' + i * interval '80 minutes', (array['view','cart','buy'])[1 + i % 3], jsonb_build_object('n', i)
from generate_series(1, 1000) i;

create table shop.log (message text, level int, at timestamptz);
insert into shop.log select 'message ' || i, i % 5, timestamptz '2026-01-01 00:00+00' + i * interval '1 minute' from generate_series(1, 5000) i;

create table shop.employees (id int primary key, name text not null, boss int references shop.employees (id));
insert into shop.employees values (1, 'Root', null), (2, 'Left', 1), (3, 'Right', 1), (4, 'Leaf', 2);
create table shop.empty (id int primary key, what text);
create unlogged table shop.carts (id int primary key, content jsonb);

create view shop.order_totals as
  select o.id, c.name, o.state, sum(l.amount) as amount
  from shop.orders o join shop.customers c on c.id = o.customer_id join shop.order_lines l on l.order_id = o.id
  group by o.id, c.name, o.state;
create materialized view shop.sales_by_city as
  select profile->>'city' as city, count(*) as orders, sum(total) as total
  from shop.orders o join shop.customers c on c.id = o.customer_id group by 1;
create sequence shop.invoice_number start 1000;
create function shop.vat(amount numeric) returns numeric language sql immutable as $$ select round(amount * 0.19, 2) $$;

create schema "weird ""names"" & co";
create table "weird ""names"" & co"."<script>alert('t')</script>" ("select" int primary key, "a ""quoted"" column" text, "שם" text, "per%cent/slash?#" text);
insert into "weird ""names"" & co"."<script>alert('t')</script>" values (1, 'one', 'אחד', '%41/../?x#y'), (2, null, '', 'two');
analyze;
