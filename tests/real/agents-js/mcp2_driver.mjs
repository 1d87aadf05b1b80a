// As ../strands/mcp_driver.py, with the SDK 2.x, which asks for the newest protocol first. Run it
// where its packages are.
import {Client} from '@modelcontextprotocol/client';
import {StdioClientTransport} from '@modelcontextprotocol/client/stdio';
import {drive} from './drive.mjs';

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({command, args, env: process.env});
const client = new Client({name: 'mcp2-driver', version: '1'},
                          {versionNegotiation: {mode: 'auto'}});
await drive(client, transport, () => client.getNegotiatedProtocolVersion(),
            (asked, options) => client.callTool(asked, options));
