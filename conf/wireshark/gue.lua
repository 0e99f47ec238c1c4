-- SPDX-License-Identifier: BSD-2-Clause
-- Wireshark and tshark: Generic UDP Encapsulation (draft-ietf-intarea-gue-09, section 3) on UDP port
-- 6080. What is inside goes to Wireshark's own dissectors. Use it with
--
--     tshark -X lua_script:gue.lua -r capture.pcap
--
-- or put it into Wireshark's folder for personal Lua plugins.

local gue = Proto("gue", "Generic UDP Encapsulation")

local UDP_PORT = 6080
local IPV4, IPV6 = 4, 41
local WORD = 4

local fields = {
	variant = ProtoField.uint8("gue.variant", "Variant", base.DEC, nil, 0xc0),
	control = ProtoField.bool("gue.control", "Control message", 8, nil, 0x20),
	hlen = ProtoField.uint8("gue.hlen", "Header words behind the first", base.DEC, nil, 0x1f),
	protocol = ProtoField.uint8("gue.proto", "Protocol", base.DEC,
		{ [IPV4] = "IPv4", [IPV6] = "IPv6" }),
	ctype = ProtoField.uint8("gue.ctype", "Control type", base.DEC),
	flags = ProtoField.uint16("gue.flags", "Flags", base.HEX),
	options = ProtoField.bytes("gue.options", "Optional fields"),
}
gue.fields = fields

local cut_off = ProtoExpert.new("gue.cut_off", "The GUE header is cut off", expert.group.MALFORMED,
	expert.severity.ERROR)
gue.experts = { cut_off }

local data = Dissector.get("data")
local protocols = DissectorTable.get("ip.proto")

-- Variant 1 has no header: the first bits are those of an IP header's version.
local function direct(buffer, pinfo, root)
	local version = buffer(0, 1):bitfield(0, 4)
	local protocol = version == 4 and IPV4 or version == 6 and IPV6 or 255

	if not protocols:try(protocol, buffer, pinfo, root) then
		data:call(buffer, pinfo, root)
	end
end

function gue.dissector(buffer, pinfo, root)
	local available = buffer:reported_length_remaining()

	if available < 1 or buffer:len() < 1 then
		return 0
	end
	pinfo.cols.protocol = "GUE"
	if buffer(0, 1):bitfield(0, 2) ~= 0 then
		direct(buffer, pinfo, root)
		return available
	end
	local length = WORD + buffer(0, 1):bitfield(3, 5) * WORD
	local tree = root:add(gue, buffer(0, math.min(length, buffer:len())))

	if buffer:len() < length then
		tree:add_proto_expert_info(cut_off)
		return available
	end
	local is_control = buffer(0, 1):bitfield(2, 1) == 1

	tree:add(fields.variant, buffer(0, 1))
	tree:add(fields.control, buffer(0, 1))
	tree:add(fields.hlen, buffer(0, 1))
	tree:add(is_control and fields.ctype or fields.protocol, buffer(1, 1))
	tree:add(fields.flags, buffer(2, 2))
	if length > WORD then
		tree:add(fields.options, buffer(WORD, length - WORD))
	end
	if available == length or buffer:len() == length then
		return available
	end
	local inner = buffer(length):tvb()

	if is_control or not protocols:try(buffer(1, 1):uint(), inner, pinfo, root) then
		data:call(inner, pinfo, root)
	end
	return available
end

DissectorTable.get("udp.port"):add(UDP_PORT, gue)
