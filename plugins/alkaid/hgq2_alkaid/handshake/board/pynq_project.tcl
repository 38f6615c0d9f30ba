# A Vivado project for a board with a Zynq-7000, such as PYNQ-Z2: processor, AXI DMA, and axi_stream between its channels.
# It was generated, and has run in no Vivado and on no board.
#
#     vivado -mode batch -source pynq_project.tcl -tclargs xc7z020clg400-1
#
# leaves design.bit and design.hwh in output_pynq, for pynq_driver.py.

set root [file normalize [file dirname [info script]]]
set part [expr {$argc > 0 ? [lindex $argv 0] : "xc7z020clg400-1"}]
set output "$root/output_pynq"

create_project pynq $output -part $part -force
add_files [concat [glob $root/src/*.v] [glob $root/src/static/*.v]]
set_property top axi_stream [current_fileset]
update_compile_order -fileset sources_1

create_bd_design design
create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 -config {make_external "FIXED_IO, DDR"} [get_bd_cells ps]
set_property CONFIG.PCW_USE_S_AXI_HP0 1 [get_bd_cells ps]

create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma
create_bd_cell -type module -reference axi_stream model
set bits [expr {8 * [get_property CONFIG.TDATA_NUM_BYTES [get_bd_intf_pins model/s_axis]]}]
# The DMA takes streams that are no wider than its side of the memory, which has at least 32 bits.
set memory [expr {max(32, $bits)}]
set_property -dict [list CONFIG.c_include_sg 0 CONFIG.c_sg_length_width 26 \
    CONFIG.c_m_axi_mm2s_data_width $memory CONFIG.c_m_axi_s2mm_data_width $memory \
    CONFIG.c_m_axis_mm2s_tdata_width $bits CONFIG.c_include_mm2s_dre 1 CONFIG.c_include_s2mm_dre 1] \
    [get_bd_cells dma]
connect_bd_intf_net [get_bd_intf_pins dma/M_AXIS_MM2S] [get_bd_intf_pins model/s_axis]
connect_bd_intf_net [get_bd_intf_pins model/m_axis] [get_bd_intf_pins dma/S_AXIS_S2MM]

apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config {Master "/ps/M_AXI_GP0" Clk "Auto"} [get_bd_intf_pins dma/S_AXI_LITE]
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config {Slave "/ps/S_AXI_HP0" Clk "Auto"} [get_bd_intf_pins dma/M_AXI_MM2S]
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config {Slave "/ps/S_AXI_HP0" Clk "Auto"} [get_bd_intf_pins dma/M_AXI_S2MM]
connect_bd_net [get_bd_pins ps/FCLK_CLK0] [get_bd_pins model/aclk]
connect_bd_net [get_bd_pins dma/axi_resetn] [get_bd_pins model/aresetn]
validate_bd_design
save_bd_design

make_wrapper -files [get_files design.bd] -top -import
set_property top design_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
file copy -force [glob $output/pynq.runs/impl_1/design_wrapper.bit] $output/design.bit
file copy -force [lindex [glob $output/pynq.gen/sources_1/bd/design/hw_handoff/design.hwh] 0] $output/design.hwh
